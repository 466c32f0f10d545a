"""The sentences of a choice: one line each, with the figure that decides."""

from __future__ import annotations

from collections.abc import Sequence

from depthport.bench.results.metrics import Estimate, Metric
from depthport.bench.results.model import Boundary, Cell
from depthport.bench.statistics import figures

MEDIANS = ("latency_ms", "throughput_img_s")
"""Metrics that have an interval wherever the samples carry one."""


def quantity(metric: Metric, value: float, interval: tuple[float, float] | None = None) -> str:
    """A metric's value with its unit: `19.9 [19.8, 20.0] ms`, `4.2e-3`, `810 MiB`."""
    if metric.name in ("depth_error", "depth_abs_rel"):
        return figures.scientific(value)
    if interval is None and metric.unit not in ("MiB", "s"):
        return f"{figures.reading(value)}{metric.unit if metric.unit == '°' else f' {metric.unit}'}".rstrip()
    if metric.unit == "MiB":
        return figures.mib(value)
    if metric.unit == "s":
        return figures.seconds(value)
    unit = f"{metric.unit}" if metric.unit in ("", "°") else f" {metric.unit}"
    return f"{figures.interval(value, interval)}{unit}"


def estimated(metric: Metric, value: float, interval: tuple[float, float] | None) -> str:
    """A measured value with its unit and the digits its interval supports; `≈` where a median has none."""
    if interval is None and metric.name in MEDIANS:
        return f"{figures.number(value)} {metric.unit}"
    return quantity(metric, value, interval)


def measured(metric: Metric, found: Estimate) -> str:
    """A metric's estimate with its interval where one was measured (not where a spread is only assumed)."""
    if metric.resolution and found.value <= metric.resolution:
        return f"at most {quantity(metric, metric.resolution)}"
    real = found.low < found.high and not metric.spread
    return estimated(metric, found.value, (found.low, found.high) if real else None)


def status(cell: Cell) -> str:
    """Return why a cell has no valid figure."""
    name = cell.status.value.replace("_", " ")
    return f"{name}: {cell.reason}" if cell.reason else name


def breach(metric: Metric, found: Estimate, bound: float) -> str | None:
    """Return how an estimate breaks a bound, or None where it keeps it over its whole interval."""
    high_is_good = metric.better == "higher"
    value_ok = found.value >= bound if high_is_good else found.value <= bound
    # An assumed spread is not a measurement: a single reading is taken at face value.
    low, high = (found.value, found.value) if metric.spread else (found.low, found.high)
    surely_ok = low >= bound if high_is_good else high <= bound
    if surely_ok:
        return None
    limit = f"{'at least' if high_is_good else 'at most'} {quantity(metric, bound)}"
    if value_ok:
        return f"{metric.label} is {measured(metric, found)}: its interval reaches beyond the bound ({limit})"
    return f"{metric.label} is {measured(metric, found)}, not {limit}"


def best_alone(order: Sequence[Cell], goal: Metric, boundary: Boundary) -> str:
    """Return why the first of `order` (best first) is the pick, all others being worse beyond doubt."""
    found = goal.of(order[0], boundary)
    shown = "" if found is None else f", {measured(goal, found)}"
    if len(order) == 1:
        return f"it is the only cell that meets every constraint{shown}"
    return f"best {goal.label} of {len(order)} eligible cells{shown}; {_lead(order, goal, boundary)}"


def _lead(order: Sequence[Cell], goal: Metric, boundary: Boundary) -> str:
    """Return how all others stand to the first."""
    own, *costs = (goal.cost(cell, boundary) for cell in order)
    following = goal.of(order[1], boundary)
    if own is None or following is None:
        return f"{goal.label} was measured for no other cell"
    lead = f"the next is {order[1].id}, {measured(goal, following)}"
    overlapping = [n for n, cost in enumerate(costs) if cost is not None and not own.certainly_below(cost)]
    if overlapping == [0]:
        return f"{lead}, whose interval overlaps the best one; paired within the run's rounds it is slower"
    if overlapping:
        count = f"{len(overlapping)} intervals overlap" if len(overlapping) > 1 else "1 interval overlaps"
        return f"{lead}; {count} the best one, all are slower when paired within the run's rounds"
    if goal.spread:
        return f"{lead}, beyond the ±{figures.percent(goal.spread)} by which a single reading may be off"
    if own.low < own.high:
        return f"{lead}; no other interval overlaps the best one"
    return f"{lead}; without intervals the order is not certain"


def best_of_ties(goal: Metric, count: int, decided: Metric | None) -> str:
    """Sentence on `count` cells tied for the best goal, and the metric that decides between them."""
    lead = f"{count} cells are statistically tied for the best {goal.label}"
    return f"{lead}; decided by {decided.label}" if decided else f"{lead}, and no tie-breaker decides: any will do"


def not_picked(cell: Cell, pick: Cell, goal: Metric, boundary: Boundary, tied: bool, on_front: bool) -> str:
    """Return why an eligible cell was not picked."""
    if tied:
        return f"its {goal.label} is statistically tied with the pick's; the tie-breakers favour the pick"
    ours, best = goal.cost(cell, boundary), goal.cost(pick, boundary)
    shown = goal.of(cell, boundary)
    if ours is None or best is None or shown is None or best.value <= 0:
        return f"its {goal.label} is not better"
    times = figures.reading(ours.value / best.value)
    worse = "lower" if goal.better == "higher" else "higher"
    front = "; still on the Pareto set" if on_front else ""
    return f"{goal.label} {times} times {worse} ({measured(goal, shown)}){front}"
