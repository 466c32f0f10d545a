"""The timed protocol, workers, statistics, parity, results, report, choice and the command line.

Importing this package imports no framework; `bench.run(...)` is the main job (bench/api.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import plan, run

__all__ = ["plan", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("bench.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
