"""Names of several devices at once: `cuda:0+1`."""

from __future__ import annotations

import re

_GROUP = re.compile(r"cuda:(\d+(?:\+\d+)+)")


def is_group(name: str) -> bool:
    """Return whether `name` is that of several cards; `cuda:0+0` is, though no such group exists."""
    return _GROUP.fullmatch(name) is not None


def members(name: str) -> tuple[int, ...]:
    """The cards of a group, in the order in which they take its views: `cuda:0+1` is (0, 1)."""
    found = _GROUP.fullmatch(name)
    assert found is not None
    return tuple(int(index) for index in found[1].split("+"))
