"""Screening 批量核查: many codes or names at once, one instant, one signature."""
