"""Print only the digits that the interval supports.

A value is rounded to the place of the last significant digit of its half-width, which keeps two digits when
its leading digits are 100 to 354 and one when they are 355 to 999 (Particle Data Group, Review of Particle
Physics, section 5.3): 20.1337 with a half-width of 0.123 prints as 20.13, with 0.42 as 20.1, with 4.2 as 20.
Bounds of an interval are rounded outward, so that what is printed covers what was computed.

A number without an interval is an estimate of unknown error: two significant digits and a sign that says so.
"""

from __future__ import annotations

import math
from functools import lru_cache

from depthport.exporters.core.errors import UsageError

Interval = tuple[float, float]

NOT_MEASURED = "–"
_UNKNOWN_ERROR_DIGITS = 2
_EXACT_DIGITS = 4
_MOST_DIGITS = 6
"""No clock supports more, however narrow the interval."""


def _finite(*values: float) -> None:
    for value in values:
        if not math.isfinite(value):
            raise UsageError(f"cannot print {value!r} as a measurement: a figure that was not measured is null")


def _exponent(value: float) -> int:
    """The power of ten of the leading digit of `value` > 0."""
    return int(f"{value:e}".partition("e")[2])


def decimals(half_width: float) -> int:
    """Digits after the point that a half-width > 0 supports; negative rounds to tens (-1), hundreds (-2), ...

    Raises:
        UsageError: the half-width is not above zero, or not finite.
    """
    _finite(half_width)
    if half_width <= 0.0:
        raise UsageError(f"a half-width is above zero, got {half_width!r}")
    exponent = _exponent(half_width)
    leading = half_width / 10.0**exponent
    return 1 - exponent if leading < 3.545 else -exponent


def _place(value: float, ci95: Interval | None) -> int:
    """Decimals of `value`: from its interval, else a fixed number of significant digits."""
    half = 0.0 if ci95 is None else (ci95[1] - ci95[0]) / 2.0
    if half > 0.0:
        if not value:
            return min(decimals(half), _MOST_DIGITS)
        places = min(decimals(half), _MOST_DIGITS - 1 - _exponent(abs(value)))
        # A positive value (a latency, a ratio) far from the top of its wide interval keeps its first digit: it is not 0.
        return max(places, -_exponent(value)) if ci95 is not None and 0.0 <= ci95[0] < value else places
    # An interval without width (all samples equal) supports what the clock does, which is not known here.
    digits = _UNKNOWN_ERROR_DIGITS if ci95 is None else _EXACT_DIGITS
    return digits - 1 - _exponent(abs(value)) if value else 0


def _bound_place(bound: float, places: int, ci95: Interval) -> int:
    """The value's place, where the interval supports it; else that of the bound's own two leading digits."""
    half = (ci95[1] - ci95[0]) / 2.0
    if not half > 0.0 or not bound or places <= decimals(half):
        return places
    return _UNKNOWN_ERROR_DIGITS - 1 - _exponent(abs(bound))


def _fixed(value: float, places: int) -> str:
    text = f"{round(value, places):.{max(places, 0)}f}"
    return text.removeprefix("-") if not any(digit in "123456789" for digit in text) else text


def _outward(value: float, places: int, direction: int) -> str:
    """`value` rounded down (-1) or up (+1) to `places`; a value already there, but for float error, stays."""
    step = 10.0**-places
    nearest = round(value / step)
    if abs(value / step - nearest) > 1e-9 * max(1.0, abs(nearest)):
        nearest = math.floor(value / step) if direction < 0 else math.ceil(value / step)
    return _fixed(nearest * step, places)


def format_value(value: float | None, ci95: Interval | None = None, unit: str = "") -> str:
    """`20.13 ms`; `≈20 ms` without an interval; `–` for None (not measured).

    Raises:
        UsageError: a number is NaN or infinite.
    """
    if value is None:
        return NOT_MEASURED
    _finite(value, *(ci95 or ()))
    sign = "≈" if ci95 is None else ""
    return f"{sign}{_fixed(value, _place(value, ci95))}{_suffix(unit)}"


@lru_cache(1 << 14)
def format_interval(value: float | None, ci95: Interval | None, unit: str = "") -> str:
    """`20.13 [20.01, 20.26] ms`: the value and its interval, all to the place the interval supports."""
    if value is None or ci95 is None:
        return format_value(value, ci95, unit)
    _finite(value, *ci95)
    places = _place(value, ci95)
    low, high = (_outward(ci95[i], _bound_place(ci95[i], places, ci95), side) for i, side in enumerate((-1, 1)))
    attached = unit if unit == "×" else ""
    return f"{_fixed(value, places)}{attached} [{low}, {high}]{'' if attached else _suffix(unit)}"


def _suffix(unit: str) -> str:
    return unit if unit in ("", "×", "%") else f" {unit}"


def format_ratio(value: float | None, ci95: Interval | None = None) -> str:
    """A speedup (baseline / cell): `3.81×`."""
    return format_value(value, ci95, "×")


def format_error(value: float | None) -> str:
    """A relative error (parity): two digits, `1.3e-06`; `0` where the outputs are equal bit for bit."""
    if value is None:
        return NOT_MEASURED
    _finite(value)
    return f"{value:.1e}" if value else "0"
