"""Finding exporters and runtimes: by entry point (ours and third parties' alike) or by `module:Class`."""

from __future__ import annotations

from functools import cache
from importlib import import_module, metadata
from typing import Any

from depthport.exporters.core.asked import known_name
from depthport.exporters.core.errors import UnavailableError, UsageError, one_line


@cache
def entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    """The entry points of `group` by name, in name order."""
    return {point.name: point for point in sorted(metadata.entry_points(group=group), key=lambda p: p.name)}


def load_plugin(group: str, name: str, what: str) -> Any:
    """An instance of the class registered as `name`, or found at `package.module:Class`.

    Only that plug-in's module is imported. The second form needs no installed entry point: an adapter can be tried
    from a checkout, and a worker process finds it by the same name.

    Raises:
        UsageError: nothing of that name is installed (the message lists what is), or no such module or class.
        UnavailableError: it is installed but does not import or start.
    """
    if ":" in name:
        return _load_path(name, what)
    points = entry_points(group)
    known_name(what, name, points, "" if points else "install depthport itself (`pip install -e .`)")
    try:
        return points[name].load()()
    except (Exception, SystemExit) as error:  # anyone's adapter may fail in any way
        distribution = points[name].dist
        package = points[name].value if distribution is None else distribution.name
        raise UnavailableError(
            f"{what} {name!r} is broken ({type(error).__name__}: {one_line(error, 120)}): reinstall or remove {package}"
        ) from error


def installed_plugin(group: str, name: str) -> Any | None:
    """An instance of the class registered as `name`; None where none is, or where it does not import.

    For names out of a file, which may come from anyone and anywhere: `module:Class` is not imported.
    """
    point = entry_points(group).get(name)
    if point is None:
        return None
    try:
        return point.load()()
    except (Exception, SystemExit):  # noqa: BLE001 - anyone's adapter may fail in any way; a report must not
        return None


def _load_path(path: str, what: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        plugin = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise UsageError(f"{what} {path!r}: no module {error.name!r} can be imported here") from error
    if plugin is None:
        raise UsageError(f"{what} {path!r}: module {module!r} has no {attribute!r}")
    return plugin()
