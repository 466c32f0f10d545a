"""Cells of a run in another regime than `burst`: latency over minutes, or frames at a fixed rate and their deadlines.

The summaries are those of bench/analysis/regime_analysis.py, read from a file that may be damaged: every figure may be
missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from depthport.bench.report.model.merge import Row
from depthport.bench.results.metrics import number
from depthport.bench.statistics import figures

KINDS = ("sustained", "fixed-rate")
TITLES = {
    "sustained": "Sustained load: latency over minutes",
    "fixed-rate": "Fixed rate: deadlines, counted from when a frame was due",
}
HEADS = {
    "sustained": ("Minutes", "First minute, ms", "Last minute, ms", "Last / first [95 %]", "Slower from"),
    "fixed-rate": (
        "Rate, Hz",
        "Frames",
        "Missed [95 %]",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "Worst lateness, ms",
        "Keeps up",
    ),
}


def kind_of(row: Row) -> str | None:
    """The regime of a row's figures; None for `burst`, which is every other table's."""
    kind = (row.cell.regime or {}).get("kind")
    return kind if kind in KINDS else None


def without_burst(rows: Sequence[Row]) -> bool:
    """Whether a group holds a regime's figures and no cell of it was timed in bursts."""
    return not any(row.cell.timing for row in rows) and any(kind_of(row) for row in rows)


def headline(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """What a group's regime comes to, and a line a cell, best first; empty for a group without one."""
    members = [row for row in rows if kind_of(row)]
    if not members:
        return "", []
    regimes = [row.cell.regime or {} for row in members]
    count = len(members)
    if kind_of(members[0]) == "fixed-rate":
        good = sum(regime.get("keeps_up") is True for regime in regimes)
        title = f"{good} of {count} keep up with {_reading(regimes[0].get('rate_hz'))} frames a second"
    else:
        slower = sum(bool(regime.get("onset")) for regime in regimes)
        minutes = _reading(regimes[0].get("seconds"), 1 / 60)
        title = f"{slower} of {count} slow down" if slower else "None is seen to slow down"
        title += f" within {minutes} min of load"
    return title, [f"{row.cell.id}: {in_words(row.cell.regime or {})}" for row in sorted(members, key=_goodness)]


def marks(regime: Mapping[str, Any]) -> dict[str, float | None]:
    """What a fixed-rate chart places: percentiles and the call alone, ms, and the time a frame has."""
    rate = number(regime.get("rate_hz"))
    found = {name: number(regime.get(f"{name}_ms")) for name in ("p50", "p95", "p99", "service")}
    return {**found, "period": 1e3 / rate if rate else None, "missed": number(regime.get("miss_share"))}


def _goodness(row: Row) -> tuple[float, float]:
    regime = row.cell.regime or {}
    misses, slowdown = number(regime.get("miss_share")), number(regime.get("ratio"))
    speed = number(regime.get("service_ms")) or number(regime.get("last_ms"))
    return (misses if misses is not None else slowdown or 0.0, speed or 0.0)


def in_words(regime: Mapping[str, Any]) -> str:
    """A cell's regime in one line."""
    columns = dict(zip(HEADS[str(regime["kind"])], regime_line(regime), strict=True))
    if regime["kind"] == "sustained":
        return f"last minute over first {columns['Last / first [95 %]']}, slower from: {columns['Slower from']}"
    call = number(regime.get("service_ms"))
    alone = "" if call is None else f", the call alone {figures.reading(call)} ms"
    return f"{columns['Missed [95 %]']} of deadlines missed{alone}"


def regime_line(regime: Mapping[str, Any]) -> list[str]:
    """The columns of :data:`HEADS` for one cell."""
    return _sustained(regime) if regime.get("kind") == "sustained" else _fixed_rate(regime)


def windows(regime: Mapping[str, Any]) -> list[list[float]]:
    """[seconds, median ms] of every window of a sustained run, for a plot."""
    listed = regime.get("windows")
    found = [w for w in listed if isinstance(w, Mapping)] if isinstance(listed, Sequence) else []
    points = [(number(w.get("start_s")), number(w.get("median_ms"))) for w in found]
    return [[start, median] for start, median in points if start is not None and median]


def _sustained(regime: Mapping[str, Any]) -> list[str]:
    onset = regime.get("onset")
    began = number(onset.get("start_s")) if isinstance(onset, Mapping) else None
    step = number(onset.get("ratio")) if isinstance(onset, Mapping) else None
    throttled = "none seen" if began is None else f"{figures.seconds(began)}: {figures.reading(step or 0)}× slower"
    return [
        _reading(regime.get("seconds"), 1 / 60),
        _reading(regime.get("first_ms")),
        _reading(regime.get("last_ms")),
        figures.ratio(number(regime.get("ratio")), _interval(regime.get("ratio_ci95"))),
        throttled,
    ]


def _fixed_rate(regime: Mapping[str, Any]) -> list[str]:
    share = number(regime.get("miss_share"))
    ci = _interval(regime.get("miss_share_ci95"))
    around = "" if ci is None else f" [{figures.percent(ci[0])}, {figures.percent(ci[1])}]"
    missed = figures.NONE if share is None else f"{figures.percent(share)}{around}"
    keeps_up = regime.get("keeps_up")
    return [
        _reading(regime.get("rate_hz")),
        _reading(regime.get("frames")),
        missed,
        *(_reading(regime.get(name)) for name in ("p50_ms", "p95_ms", "p99_ms", "worst_lateness_ms")),
        "✓" if keeps_up is True else "✗" if keeps_up is False else figures.NONE,
    ]


def _reading(value: Any, scale: float = 1.0) -> str:
    found = number(value)
    return figures.NONE if found is None else figures.reading(found * scale)


def _interval(value: Any) -> tuple[float, float] | None:
    if isinstance(value, Sequence) and len(value) == 2:
        low, high = number(value[0]), number(value[1])
        if low is not None and high is not None and low <= high:
            return low, high
    return None
