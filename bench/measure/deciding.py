"""Versions and source of everything that takes part in a measurement, which decide it beside the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypedDict, TypeVar

from depthport.bench.plan.cells import CellSpec
from depthport.bench.workers.channel import Channel, WorkerFault
from depthport.bench.workers.messages import Hello
from depthport.bench.workers.reference import REFERENCE_PACKAGES
from depthport.bench.workers.start import worker_command, worker_environment
from depthport.exporters.api import deciding_packages, deciding_source
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.errors import ArtifactError, UsageError
from depthport.exporters.core.provenance import package_versions
from depthport.exporters.core.source import source_digest
from depthport.exporters.registry import get_exporter
from depthport.runtimes.registry import get_runtime

MEASURING = ("depthport.bench.measure.measure", "depthport.bench.measure.regime_run", "depthport.bench.workers.worker")
"""Modules that measuring starts from: the manager that gives orders, and the worker that carries them out."""
_HELLO_TIMEOUT_S = 60.0
_Plugin = TypeVar("_Plugin")


class Deciding(TypedDict):
    """Versions and digests, by name."""

    versions: dict[str, str]
    interpreters: dict[str, dict[str, str]]
    """Versions that other interpreters have."""
    artifacts: dict[str, str | None]
    """Keys of given ones, by cell."""
    exporters: dict[str, str]
    measuring: str


def deciding(cells: Sequence[CellSpec]) -> Deciding:
    """Versions, digests of source and keys of given artifacts, of the cells that can run here.

    A runtime in an interpreter of its own has the versions of that interpreter.
    """
    able = [cell for cell in cells if not (cell.unavailable or cell.unsupported)]
    exporters = _found(get_exporter, (c.export.format for c in able if c.artifact is None))
    runtimes = _found(get_runtime, (c.runtime for c in able))
    packages = {*REFERENCE_PACKAGES, *(name for exporter in exporters.values() for name in deciding_packages(exporter))}
    if any(c.export.source_size for c in able):
        packages |= {name for exporter in exporters.values() for name in deciding_packages(exporter, resized=True)}
    elsewhere: dict[str, set[str]] = {}
    for cell in able:
        wanted = packages if cell.python is None else elsewhere.setdefault(cell.python, set())
        wanted |= {"numpy", *(runtimes[cell.runtime].packages if cell.runtime in runtimes else ())}
    return {
        "versions": package_versions(sorted(packages)),
        "interpreters": {python: _versions_in(python, names) for python, names in sorted(elsewhere.items())},
        "artifacts": {cell.id: _key(cell.artifact) for cell in able if cell.artifact is not None},
        "exporters": {name: deciding_source(exporter) for name, exporter in sorted(exporters.items())},
        "measuring": source_digest(*MEASURING, *sorted({type(runtime).__module__ for runtime in runtimes.values()})),
    }


def _found(get: Callable[[str], _Plugin], names: Iterable[str]) -> dict[str, _Plugin]:
    """Those of the plug-ins that are here; of another the cell's own row will say that it is not."""
    found = {}
    for name in names:
        with suppress(UsageError):
            found[name] = get(name)
    return found


def _versions_in(python: str, packages: Iterable[str]) -> dict[str, str]:
    """Versions that another interpreter has; none where no worker starts in it, which the cell's own row will say."""
    try:
        channel = Channel(worker_command(python, "depthport.bench.workers.worker"), worker_environment())
    except WorkerFault:
        return {}
    try:
        return channel.request(Hello(packages=tuple(sorted(packages))), _HELLO_TIMEOUT_S).versions
    except WorkerFault:
        return {}
    finally:
        channel.close(timeout_s=5)


def _key(folder: str) -> str | None:
    """An artifact's key; None where it can't be read, which the worker that loads it will say."""
    try:
        return load_artifact(folder).manifest.key
    except ArtifactError:
        return None
