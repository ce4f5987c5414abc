"""Knows no domain: settings, errors, clock, database, embedded server, jobs, HTTP helpers."""
