"""Import of real files: 双公示 templates as XLSX, CSV and NDJSON, with a receipt for every row."""
