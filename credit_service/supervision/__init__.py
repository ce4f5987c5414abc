"""Tiered supervision 分级分类监管: risk classes, tier queries, inspections, statistics."""
