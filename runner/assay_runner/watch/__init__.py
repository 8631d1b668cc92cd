"""Watching a prefix for checkpoints: what lies there, which of it has landed, and one number for each."""
