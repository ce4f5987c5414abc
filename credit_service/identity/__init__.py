"""Identifiers of legal entities and the code tables they refer to."""
