"""Engines and endpoints that answer requests; each is imported only when a run uses it."""
