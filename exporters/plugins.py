"""Finding exporters and runtimes through entry points, ours and third parties' alike."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from exporters.errors import UsageError


@cache
def entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    """The entry points of `group` by name, in name order."""
    return {point.name: point for point in sorted(metadata.entry_points(group=group), key=lambda p: p.name)}


def load_plugin(group: str, name: str, what: str) -> Any:
    """An instance of the class registered as `name`; only that plug-in's module is imported.

    Raises:
        UsageError: nothing of that name is installed; the message lists what is.
    """
    points = entry_points(group)
    if name not in points:
        known = ", ".join(points) or "none: is depthport installed? (`pip install -e .`)"
        raise UsageError(f"unknown {what} {name!r}: choose one of {known}")
    return points[name].load()()
