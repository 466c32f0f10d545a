"""Finding exporters by format: ours and third parties', through the entry-point group `depthport.exporters`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from depthport.exporters.base import Exporter
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.plugins import entry_points, installed_plugin, load_plugin

GROUP = "depthport.exporters"


def formats() -> list[str]:
    """Names of every installed exporter."""
    return list(entry_points(GROUP))


@cache
def get_exporter(name: str) -> Exporter:
    """The exporter of format `name`.

    Raises:
        UsageError: no exporter of that name is installed, or `module:Class` names none.
    """
    # Abstract classes may be asked for: what is found is a concrete one.
    exporter: Exporter = load_plugin(GROUP, name, "format", Exporter)  # type: ignore[type-abstract]
    return exporter


def installed_exporter(name: str) -> Exporter | None:
    """The exporter registered as `name`; None where none is or it does not import. For names that a file gives."""
    exporter: Exporter | None = installed_plugin(GROUP, name)
    return exporter


def installed_exporters() -> Iterator[Exporter]:
    """Every registered exporter that imports."""
    return (exporter for name in formats() if (exporter := installed_exporter(name)) is not None)


def targets() -> list[str]:
    """Names that `--target` takes, of every installed exporter."""
    return list(dict.fromkeys(target for exporter in installed_exporters() for target in exporter.targets))


def default_format() -> str:
    """The format that is exported where nobody says which.

    Raises:
        UsageError: no exporter offers itself.
    """
    for exporter in installed_exporters():
        if exporter.default:
            return exporter.format
    raise UsageError(f"this machine has no default format: choose one of {', '.join(formats()) or 'none'}")
