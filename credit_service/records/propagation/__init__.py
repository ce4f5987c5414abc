"""Propagation 信息同步: whoever was given a record is told when it stops, changes or returns."""
