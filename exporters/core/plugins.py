"""Finding exporters and runtimes: by entry point (ours and third parties' alike) or by `module:Class`.

Where a name comes from decides what it may do. What is typed or written in Python may name a class to import
(:func:`load_plugin`); what stands in a file, which may come from anyone, is looked up among the installed entry points
and nothing else (:func:`installed_plugin`).
"""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module, metadata
from typing import Any, TypeVar

from depthport.exporters.core import install
from depthport.exporters.core.asked import known_name
from depthport.exporters.core.errors import UnavailableError, UsageError, one_line
from depthport.exporters.core.text import quoted

T = TypeVar("T")


@cache
def entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    """The entry points of `group` by name, in name order."""
    return {point.name: point for point in sorted(metadata.entry_points(group=group), key=lambda p: p.name)}


def load_plugin(group: str, name: str, what: str, base: type[T]) -> T:
    """An instance of the class registered as `name`, or found at `package.module:Class`.

    Only that plug-in's module is imported. The second form needs no installed entry point: an adapter can be tried
    from a checkout, and a worker process finds it by the same name. For names that are typed or written in Python.

    Raises:
        UsageError: nothing of that name is installed (the message lists what is), no such module, or no class of `base`.
        UnavailableError: it is installed but does not import or start.
    """
    if ":" in name:
        return _load_path(name, what, base)
    points = entry_points(group)
    known_name(what, name, points, "" if points else install.ITSELF)
    try:
        plugin: T = points[name].load()()
        return plugin
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


def _load_path(path: str, what: str, base: type[T]) -> T:
    module, _, attribute = path.partition(":")
    shown = f"{what} {quoted(path)}"
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise UsageError(f"{shown} is neither an installed name nor package.module:Class")
    try:
        found = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise UsageError(f"{shown}: module {error.name!r} can't be imported") from error
    except Exception as error:
        raise UsageError(f"{shown}: importing {module} failed: {type(error).__name__}: {one_line(error)}") from error
    if found is None:
        raise UsageError(f"{shown}: module {module!r} has no {attribute!r}")
    if not (inspect.isclass(found) and issubclass(found, base)) or inspect.isabstract(found):
        raise UsageError(f"{shown} is not a class that implements {base.__module__}.{base.__qualname__}")
    try:
        return found()
    except Exception as error:
        raise UsageError(f"{shown} can't be made: {type(error).__name__}: {one_line(error)}") from error
