"""Checks of numbers and names that people give: no nonsense is accepted, no mistyped name dropped."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import psutil

from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.text import mib

_SHOWN = 12
"""Names that fit into a line, and digits of the largest plausible number."""
_BEYOND = 2**63


@dataclass(frozen=True)
class Bounds:
    """Bounds of a number."""

    option: str
    """The option as it is typed, for messages."""
    low: float
    high: float
    above_low: bool = False
    """True if `low` itself is out of bounds."""
    unit: str = ""

    def check(self, value: float | None) -> None:
        """Raise UsageError for a value that is out of bounds or not a number; None: not given."""
        if value is None:
            return
        if not (self.low < value <= self.high or (value == self.low and not self.above_low)):  # NaN is neither
            shown = (
                f"{value:g}" if isinstance(value, float) or abs(value) < _BEYOND else str(value)[:_SHOWN] + "…"
            )  # Python's integers have no end
            unit = f" {self.unit}" if self.unit else ""
            least = f"above {self.low:g}" if self.above_low else f"at least {self.low:g}"
            raise UsageError(f"{self.option} is {shown}: it must be {least} and at most {self.high:,.15g}{unit}")


DAY_S = 86_400.0
THREADS = Bounds("--threads", 1, 1024)
SEED = Bounds("--seed", 0, 2**32 - 1)
LAUNCHES = Bounds("--launches", 1, 1000)
BUDGET_S = Bounds("--budget", 0, 30 * DAY_S, above_low=True, unit="seconds (30 days)")
UNTIL_PERCENT = Bounds("--until", 0, 100, above_low=True, unit="%")
MINUTES = Bounds("--minutes", 0, 7 * DAY_S / 60, above_low=True, unit="(7 days)")
RATE_HZ = Bounds("--rate-hz", 0, 100_000, above_low=True)
TOLERANCE = Bounds("--tolerance", 0, 1, above_low=True)
CALLS = Bounds("--calls", 1, 100_000)
MOST = Bounds("--most", 1, 65_536)
FRAMES = Bounds("--rate-hz times the time", 1, 10_000_000, unit="frames")


def count_images(images: int, height: int, width: int, bytes_a_pixel: int) -> None:
    """Refuse by arithmetic images that this machine can't hold, before any memory is asked for.

    Raises:
        UsageError: they take more than there is; the message has the limit.
    """
    memory = psutil.virtual_memory().total
    image_bytes = bytes_a_pixel * height * width
    if images * image_bytes > memory:
        at_most = memory // image_bytes
        advice = f"at most {at_most:,} images of that size" if at_most else "a smaller size"
        raise UsageError(
            f"{images:,} images of {height}x{width} need {mib(images * image_bytes)} for input and output alone;"
            f" this machine has {mib(memory)}: ask for {advice}"
        )


def known_name(what: str, name: str, known: Iterable[str], advice: str = "") -> str:
    """`name`, if it is one of `known`.

    Args:
        what: that it is the name of, as people type it (`--mode`, `protocol`).
        advice: what else may be done about it.

    Raises:
        UsageError: it is not; the message names the nearest right one.
    """
    names = list(dict.fromkeys(known))
    if name in names:
        return name
    near = get_close_matches(name.lower(), names, 1)
    guess = f": did you mean {near[0]!r}?" if near else ":"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    one_of = f"choose one of {', '.join(names[:_SHOWN])}{more}" if names else "there is none"
    raise UsageError(f"unknown {what} {name!r}{guess} {one_of}{f', or {advice}' if advice else ''}")


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
