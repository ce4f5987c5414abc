"""Audit events (审计事件)."""
