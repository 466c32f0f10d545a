"""Depth of one camera's pictures."""
