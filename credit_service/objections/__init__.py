"""Objection 异议申诉 (国办发〔2025〕22号 八; local regulations)."""
