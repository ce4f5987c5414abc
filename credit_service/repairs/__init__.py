"""Credit repair 信用修复 (Order 36; 国办发〔2025〕22号; Order 107)."""
