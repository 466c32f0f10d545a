"""Figures as the report prints them.

`depthport.bench.statistics.digits` decides the digits, this adds units that suit a reader.
"""

from __future__ import annotations

from depthport.bench.statistics.digits import (
    NOT_MEASURED,
    Interval,
    decimals,
    format_error,
    format_interval,
    format_ratio,
    format_value,
)

NONE = NOT_MEASURED
"""Printed in place of a figure that was not measured."""


def number(value: float | None, ci: Interval | None = None) -> str:
    """`value` with the digits its interval supports; without one, `≈` and two significant digits."""
    return format_value(value, ci)


def interval(value: float | None, ci: Interval | None) -> str:
    """`19.9 [19.8, 20.0]`."""
    return format_interval(value, ci)


def ratio(value: float | None, ci: Interval | None = None) -> str:
    """`3.81× [3.79, 3.84]`."""
    return format_ratio(value) if ci is None else format_interval(value, ci, "×")


def mean_std(mean: float, std: float | None) -> str:
    """`20.1 ± 0.3`, both to the place of the deviation."""
    if not std:
        return format_value(mean)
    places = decimals(std)
    return f"{round(mean, places):.{max(places, 0)}f} ± {round(std, places):.{max(places, 0)}f}"


def scientific(value: float | None) -> str:
    """An error: `2.1e-6`, or `0` where the outputs are equal bit for bit."""
    return format_error(value).replace("e-0", "e-").replace("e+0", "e+")


def reading(value: float, digits: int = 3) -> str:
    """A single reading or a count that needs no sign of doubt: three significant digits, no exponent."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if rounded >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"


def seconds(value: float | None) -> str:
    """A one-off duration: `41 s`, `2.4 s`, `130 ms`, `6.9 min`."""
    if value is None:
        return NONE
    if value < 1:
        return f"{reading(value * 1e3, 2)} ms"
    return f"{reading(value / 60, 2)} min" if value >= 600 else f"{reading(value, 2)} s"


def mib(value: float | None) -> str:
    """Memory in MiB below 10 GiB, in GiB above."""
    if value is None:
        return NONE
    return f"{value:,.0f} MiB" if value < 10240 else gib(value / 1024)


def gib(value: float) -> str:
    """Memory in GiB."""
    return f"{value:,.1f} GiB" if value < 10 else f"{value:,.0f} GiB"


def percent(value: float | None) -> str:
    """A share or a coefficient of variation, from a fraction: `0.42 %`, `12 %`."""
    return NONE if value is None else f"{reading(value * 100, 2)} %"
