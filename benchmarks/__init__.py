"""Measurements that anybody can repeat: ``python -m benchmarks lookup|imports|uscc|all`` prints JSON."""
