"""Agencies (数据来源单位), clients, tokens and permissions."""
