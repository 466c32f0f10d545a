"""Facts of the runtimes in a results file: from the file, else from the adapter installed here.

A file may come from a machine with other adapters, or from before it kept such facts: a runtime that nobody here knows
is called by its name, and has no licence that is known.
"""

from __future__ import annotations

from collections.abc import Iterable

from depthport.bench.results.model import Results, RuntimeFacts
from depthport.exporters.core.errors import UsageError
from depthport.exporters.registry import installed_exporter
from depthport.runtimes.base import Runtime
from depthport.runtimes.registry import get_runtime, installed_runtime


def describe(names: Iterable[str]) -> dict[str, RuntimeFacts]:
    """The facts of the runtimes of a run, for its results; those that are not here are left out."""
    found = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = _facts(get_runtime(name))
        except UsageError:
            continue
    return found


def facts_of(results: Results, name: str) -> RuntimeFacts:
    """The facts of the runtime that a cell of `results` names."""
    kept = results.runtimes.get(name)
    if kept is not None:
        return kept if kept.title else RuntimeFacts(name, kept.licence, kept.compiles)
    adapter = installed_runtime(name)
    return RuntimeFacts(title=name) if adapter is None else _facts(adapter)


def packages_of(runtime: str, format: str) -> tuple[str, ...]:
    """Distributions that make and run a cell, as the adapters here declare them.

    A file is not asked: what it names would become a line for people to install.
    """
    adapter, exporter = installed_runtime(runtime), installed_exporter(format)
    names = (*(exporter.packages if exporter else ()), *(adapter.packages if adapter else ()))
    return tuple(dict.fromkeys(names))


def _facts(runtime: Runtime) -> RuntimeFacts:
    compiles = None if runtime.compiles is None else dict(runtime.compiles)
    return RuntimeFacts(runtime.title or runtime.name, runtime.licence, compiles)
