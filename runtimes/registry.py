"""Finding runtimes by name: ours and third parties', through the entry-point group `depthport.runtimes`."""

from __future__ import annotations

from collections.abc import Iterator

from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.plugins import entry_points, installed_plugin, load_plugin
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


def installed_runtime(name: str) -> Runtime | None:
    """The adapter registered as `name`; None where none is or it does not import. For names that a file gives."""
    runtime: Runtime | None = installed_plugin(GROUP, name)
    return runtime


def installed_runtimes() -> Iterator[Runtime]:
    """Every registered adapter that imports."""
    return (runtime for name in runtimes() if (runtime := installed_runtime(name)) is not None)


def baseline_runtime() -> Runtime:
    """The adapter that runs upstream as its users do.

    Raises:
        UsageError: none is installed.
    """
    for runtime in installed_runtimes():
        if runtime.baseline_mode is not None:
            return runtime
    raise UsageError("no installed runtime runs upstream itself: is depthport installed? (`pip install -e .`)")
