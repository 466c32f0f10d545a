"""Which licences are open source, for `choose`: what may be shipped with a product is a constraint like any other.

A runtime's own is its adapter's to say (`Runtime.licence`); the weights' is the checkpoint's. Both stand in the results.
"""

from __future__ import annotations

OPEN_SOURCE = frozenset({"BSD-3-Clause", "MIT", "Apache-2.0"})
NON_COMMERCIAL_MARKS = ("-nc", " nc", "noncommercial", "non-commercial")


def is_open_source(licence: str | None) -> bool:
    return licence in OPEN_SOURCE


def is_non_commercial(licence: str) -> bool:
    """Whether a checkpoint's licence forbids commercial use (the CC BY-NC family)."""
    return any(mark in licence.lower() for mark in NON_COMMERCIAL_MARKS)
