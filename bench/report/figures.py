"""Figures as text: each with the digits its interval supports, its unit, and a dash where nothing was
measured."""

from __future__ import annotations

import math

NONE = "–"
"""Printed for what was not measured."""
SIGNS = "±×"


def decimals(value: float, interval: tuple[float, float] | None, without: int = 3) -> int:
    """Decimal places worth printing: the place of the interval's half-width, one more where that starts with
    1.

    Without an interval, `without` significant digits are kept: the figure is then one reading, not an
    estimate.
    """
    if interval is not None and interval[1] > interval[0]:
        half = (interval[1] - interval[0]) / 2
        place = math.floor(math.log10(half))
        return max(0, min(9, -place + (half / 10**place < 2)))
    if value == 0:
        return 0
    return max(0, min(9, without - 1 - math.floor(math.log10(abs(value)))))


def number(value: float | None, interval: tuple[float, float] | None = None, without: int = 3) -> str:
    """`value` rounded to what `interval` supports."""
    if value is None:
        return NONE
    places = decimals(value, interval, without)
    return f"{value:,.{places}f}"


def interval(value: float | None, ci: tuple[float, float] | None) -> str:
    """`19.9 [19.8, 20.0]`, all three to the same place."""
    if value is None:
        return NONE
    if ci is None:
        return number(value)
    places = decimals(value, ci)
    return f"{value:,.{places}f} [{ci[0]:,.{places}f}, {ci[1]:,.{places}f}]"


def milliseconds(value: float | None, ci: tuple[float, float] | None = None) -> str:
    """A latency in ms, with its interval if it has one."""
    return NONE if value is None else f"{interval(value, ci)} ms"


def ratio(value: float | None, ci: tuple[float, float] | None = None) -> str:
    """`3.81× [3.79, 3.84]`."""
    if value is None:
        return NONE
    if ci is None:
        return f"{number(value)}×"
    places = max(decimals(value, ci), 1)
    return f"{value:,.{places}f}× [{ci[0]:,.{places}f}, {ci[1]:,.{places}f}]"


def scientific(value: float | None) -> str:
    """An error: `2.1e-6`, or `0` where it is exactly none."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def seconds(value: float | None) -> str:
    """A one-off duration: `41 s`, `2.4 s`, `130 ms`, `6.9 min`."""
    if value is None:
        return NONE
    if value < 1:
        return f"{number(value * 1e3, without=2)} ms"
    if value >= 600:
        return f"{number(value / 60, without=2)} min"
    return f"{number(value, without=2)} s"


def mib(value: float | None) -> str:
    """Memory in MiB below 10 GiB, in GiB above."""
    if value is None:
        return NONE
    return f"{value:,.0f} MiB" if value < 10240 else gib(value / 1024)


def gib(value: float) -> str:
    """Memory in GiB."""
    return f"{value:,.1f} GiB" if value < 10 else f"{value:,.0f} GiB"


def percent(value: float | None) -> str:
    """A share or a coefficient of variation, from a fraction."""
    return NONE if value is None else f"{number(value * 100, without=2)} %"
