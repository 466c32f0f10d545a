"""Completions of arguments in a shell: names that this installation has. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def models(incomplete: str) -> list[str]:
    """Completions of a model's name."""
    from depthport.exporters.da3.models import MODELS

    return _starting(MODELS, incomplete)


def formats(incomplete: str) -> list[str]:
    """Completions of a format's name."""
    from depthport.exporters.registry import formats

    return _starting(formats(), incomplete)


def runtimes(incomplete: str) -> list[str]:
    """Completions of a runtime's name."""
    from depthport.runtimes.registry import runtimes

    return _starting(runtimes(), incomplete)


def precisions(incomplete: str) -> list[str]:
    """Completions of a precision's name."""
    from depthport.exporters.core.precision import POLICIES

    return _starting(POLICIES, incomplete)


def words(*known: str) -> Callable[[str], list[str]]:
    """Completion to one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return _starting(known, incomplete)

    return complete


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
