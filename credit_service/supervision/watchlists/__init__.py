"""Watchlists 关注名单: an agency's set of entities and what changes about them."""
