"""Cells of a run in another regime than `burst`: latency over minutes, or frames at a fixed rate and their deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from depthport.bench.report.model.merge import Row
from depthport.bench.results.regimes import FixedRateSummary, RegimeSummary, SustainedSummary
from depthport.bench.statistics import figures

Kind = Literal["sustained", "fixed-rate"]
KINDS: tuple[Kind, ...] = ("sustained", "fixed-rate")
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


def kind_of(regime: RegimeSummary) -> Kind:
    """Its name, as :data:`TITLES` and :data:`HEADS` have it."""
    return "sustained" if isinstance(regime, SustainedSummary) else "fixed-rate"


def regimes_of(rows: Sequence[Row], kind: Kind | None = None) -> list[tuple[str, RegimeSummary]]:
    """Return the rows' figures of one regime, by cell id.

    By default it is the first row's; none for `burst`, to which every other table belongs.
    """
    found = [(row.cell.id, row.cell.regime) for row in rows if row.cell.regime is not None]
    wanted = kind or (kind_of(found[0][1]) if found else None)
    return [(cell, regime) for cell, regime in found if kind_of(regime) == wanted]


def without_burst(rows: Sequence[Row]) -> bool:
    """Return whether a group holds a regime's figures and no cell of it was timed in bursts."""
    return not any(row.cell.timing for row in rows) and any(row.cell.regime for row in rows)


def headline(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Return the title of a group's regime and a line per cell, best first; empty for a group without one."""
    members = regimes_of(rows)
    if not members:
        return "", []
    count, first = len(members), members[0][1]
    if isinstance(first, FixedRateSummary):
        good = sum(isinstance(regime, FixedRateSummary) and regime.keeps_up for _, regime in members)
        title = f"{good} of {count} keep up with {figures.reading(first.rate_hz)} frames a second"
    else:
        slower = sum(isinstance(regime, SustainedSummary) and regime.onset is not None for _, regime in members)
        title = f"{slower} of {count} slow down" if slower else "None slows down"
        title += f" within {figures.reading(first.seconds / 60)} min of load"
    return title, [f"{cell}: {in_words(regime)}" for cell, regime in sorted(members, key=lambda m: _goodness(m[1]))]


def marks(regime: RegimeSummary) -> dict[str, float | None]:
    """Return the marks of a fixed-rate chart: percentiles and the call alone, ms, and the time a frame has."""
    if isinstance(regime, SustainedSummary):
        return {}
    return {
        "p50": regime.p50_ms, "p95": regime.p95_ms, "p99": regime.p99_ms, "service": regime.service_ms,
        "period": 1e3 / regime.rate_hz, "missed": regime.miss_share,
    }  # fmt: skip


def _goodness(regime: RegimeSummary) -> tuple[float, float]:
    if isinstance(regime, SustainedSummary):
        return regime.ratio or 0.0, regime.last_ms or 0.0
    return regime.miss_share, regime.service_ms or 0.0


def in_words(regime: RegimeSummary) -> str:
    """A cell's regime in one line."""
    columns = dict(zip(HEADS[kind_of(regime)], regime_line(regime), strict=True))
    if isinstance(regime, SustainedSummary):
        return f"last minute over first {columns['Last / first [95 %]']}, slower from: {columns['Slower from']}"
    alone = "" if regime.service_ms is None else f", the call alone {figures.reading(regime.service_ms)} ms"
    return f"{columns['Missed [95 %]']} of deadlines missed{alone}"


def regime_line(regime: RegimeSummary) -> list[str]:
    """The columns of :data:`HEADS` for one cell."""
    return _sustained(regime) if isinstance(regime, SustainedSummary) else _fixed_rate(regime)


def windows(regime: RegimeSummary) -> list[list[float]]:
    """[seconds, median ms] of every window of a sustained run, for a plot."""
    return [[w.start_s, w.median_ms] for w in regime.windows] if isinstance(regime, SustainedSummary) else []


def _sustained(regime: SustainedSummary) -> list[str]:
    onset = regime.onset
    throttled = "none seen"
    if onset is not None:
        throttled = f"{figures.seconds(onset.start_s)}: {figures.reading(onset.ratio)}× slower"
    return [
        figures.reading(regime.seconds / 60),
        _reading(regime.first_ms),
        _reading(regime.last_ms),
        figures.ratio(regime.ratio, regime.ratio_ci95),
        throttled,
    ]


def _fixed_rate(regime: FixedRateSummary) -> list[str]:
    low, high = regime.miss_share_ci95
    return [
        figures.reading(regime.rate_hz),
        figures.reading(regime.frames),
        f"{figures.percent(regime.miss_share)} [{figures.percent(low)}, {figures.percent(high)}]",
        *(_reading(ms) for ms in (regime.p50_ms, regime.p95_ms, regime.p99_ms, regime.worst_lateness_ms)),
        "✓" if regime.keeps_up else "✗",
    ]


def _reading(value: float | None) -> str:
    return figures.NONE if value is None else figures.reading(value)
