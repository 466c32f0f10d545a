"""Open-source licences, for `choose`: what may be shipped with a product is a constraint like any other.

A runtime's own is its adapter's to say (`Runtime.licence`); the weights' is the checkpoint's. Both stand in the results.
"""

from __future__ import annotations

OPEN_SOURCE = frozenset({"BSD-3-Clause", "MIT", "Apache-2.0"})


def is_open_source(licence: str | None) -> bool:
    """Return whether a licence (an SPDX name) is open source; an unknown one is not."""
    return licence in OPEN_SOURCE
