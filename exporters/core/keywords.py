"""Keywords of functions that share them through a `TypedDict`: checked by a type checker before, and here at run time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches


def check_keywords(function: Callable[..., object], given: Iterable[str], declared: type) -> None:
    """Refuse what Python would, had `function` spelled its keywords out: `**given` is typed as `Unpack[declared]`.

    Raises:
        TypeError: a keyword that neither has; the message names the nearest right one.
    """
    named = [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    known = [*named, *declared.__annotations__]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1, cutoff=0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
            raise TypeError(f"{function.__name__}() takes no keyword {name!r}: {advice}")
