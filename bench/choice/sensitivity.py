"""Sensitivity of the choice: the nearest changes of the request that make another cell win.

Three kinds are tried, each by choosing again with the changed request: a constraint dropped (`relax`: how far it would
have to give), a limit on a metric just below what the pick needs (`tighten`), and another goal (`goal`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from depthport.bench.choice.candidates import Candidate
from depthport.bench.choice.choice import Constraint, Request, Sensitivity
from depthport.bench.choice.reasons import quantity
from depthport.bench.results.metrics import METRICS, Metric
from depthport.bench.results.model import Boundary

TIGHTENED = ("memory_mib", "depth_error", "cold_start_s", "artifact_mib")
OTHER_GOALS = ("latency_ms", "throughput_img_s", "memory_mib", "cold_start_s", "depth_error")
Picker = Callable[[Sequence[Candidate], Request, Boundary], Candidate | None]


def sensitivity(
    pick: Candidate | None, pool: Sequence[Candidate], request: Request, boundary: Boundary, choose: Picker
) -> tuple[Sensitivity, ...]:
    """Every change tried that gives another pick."""
    found = [*_relaxed(pick, pool, request, boundary, choose)]
    if pick is not None:
        found += _tightened(pick, pool, request, boundary, choose)
        found += _other_goals(pick, pool, request, boundary, choose)
    return tuple(found)


def _relaxed(
    pick: Candidate | None, pool: Sequence[Candidate], request: Request, boundary: Boundary, choose: Picker
) -> list[Sensitivity]:
    out = []
    for constraint in request.constraints:
        metric = METRICS[constraint.metric]
        others = tuple(c for c in request.constraints if c is not constraint)
        other = choose(pool, replace(request, constraints=others), boundary)
        needed = None if other is None else other.of(metric, boundary)
        if other is None or needed is None or (pick is not None and other.id == pick.id):
            continue
        bound = needed.value if metric.spread else needed.low if metric.better == "higher" else needed.high
        gain = "" if pick is None else f", {_gain(pick, other, METRICS[request.goal], boundary)}"
        side = "at least" if metric.better == "higher" else "up to"
        text = f"with {metric.label} {side} {quantity(metric, bound)}: {other.id}{gain}"
        out.append(Sensitivity("relax", metric.name, bound, other.id, text))
    return out


def _tightened(
    pick: Candidate, pool: Sequence[Candidate], request: Request, boundary: Boundary, choose: Picker
) -> list[Sensitivity]:
    out = []
    for name in TIGHTENED:
        metric = METRICS[name]
        own = pick.of(metric, boundary)
        if own is None or name == request.goal:
            continue
        below = own.low * (1 - 1e-9)
        tighter = replace(request, constraints=(*request.constraints, Constraint(name, below)))
        other = choose(pool, tighter, boundary)
        if other is not None and other.id != pick.id:
            cost = _gain(pick, other, METRICS[request.goal], boundary)
            text = f"with {metric.label} limited below {quantity(metric, own.value)}: {other.id}, {cost}"
            out.append(Sensitivity("tighten", name, own.value, other.id, text))
    return out


def _other_goals(
    pick: Candidate, pool: Sequence[Candidate], request: Request, boundary: Boundary, choose: Picker
) -> list[Sensitivity]:
    out = []
    for name in OTHER_GOALS:
        if name == request.goal or {name, request.goal} == {"latency_ms", "throughput_img_s"}:
            continue
        other = choose(pool, replace(request, goal=name), boundary)
        if other is not None and other.id != pick.id:
            out.append(Sensitivity("goal", name, None, other.id, f"with the goal {METRICS[name].label}: {other.id}"))
    return out


def _gain(pick: Candidate, other: Candidate, goal: Metric, boundary: Boundary) -> str:
    """`1.3 times lower latency` of the other cell against the pick."""
    ours, theirs = pick.cost(goal, boundary), other.cost(goal, boundary)
    if ours is None or theirs is None or ours.value <= 0 or theirs.value <= 0:
        return f"{goal.label} not comparable"
    ratio = ours.value / theirs.value
    low_is_better = goal.better == "lower"
    if ratio >= 1:
        return f"{ratio:.2f} times {'lower' if low_is_better else 'higher'} {goal.label}"
    return f"{1 / ratio:.2f} times {'higher' if low_is_better else 'lower'} {goal.label}"
