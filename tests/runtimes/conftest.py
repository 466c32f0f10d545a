"""What the runtimes' tests share."""

from __future__ import annotations

THREADS = 1
"""Intra-op threads in tests: workers of pytest-xdist share the cores."""
