"""Finding runtimes by name: ours and third parties', through the entry-point group `depthport.runtimes`."""

from __future__ import annotations

from depthport.exporters.core.plugins import entry_points, load_plugin
from depthport.runtimes.base import Runtime

GROUP = "depthport.runtimes"


def runtimes() -> list[str]:
    """Names of every installed runtime adapter."""
    return list(entry_points(GROUP))


def get_runtime(name: str) -> Runtime:
    """The adapter called `name`; imports only its module.

    Raises:
        UsageError: no adapter of that name is installed.
    """
    runtime: Runtime = load_plugin(GROUP, name, "runtime")
    return runtime
