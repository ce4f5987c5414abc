"""Evidence 证明材料: attachments of cases, stored by their content's digest."""
