"""`choose`: from constraints and a goal to one cell, with the reasons that let a reader disagree.

A constraint holds when the whole 95 % interval keeps it: a latency of 49 ms [47, 52] does not meet 50 ms, and
is refused with a reason that says so. What was not measured meets no constraint. Among the cells left the
goal decides; cells that the run could not tell apart from the best are *ties*, and the pick among them is
made by the metrics in :data:`TIE_BREAKERS`. Cells of different workloads (model, views, size, weights) are
never compared, and neither are boundaries.

Everything here is a pure function of the results; `bench/cli/console.py` prints a :class:`Choice`.
"""

from __future__ import annotations

from collections.abc import Sequence

from depthport.bench.choice import reasons
from depthport.bench.choice.break_even import BreakEven, break_even
from depthport.bench.choice.candidates import Candidate, candidates_of, told_apart
from depthport.bench.choice.choice import Choice, Rejected, Request
from depthport.bench.choice.licences import is_open_source
from depthport.bench.choice.pareto import pareto_set
from depthport.bench.choice.sensitivity import sensitivity
from depthport.bench.results.control_doubt import control_doubt
from depthport.bench.results.metrics import METRICS, Metric, default_boundary
from depthport.bench.results.model import Boundary, Results, Status
from depthport.exporters.core.errors import UsageError

TIE_BREAKERS = ("depth_error", "memory_mib", "cold_start_s", "artifact_mib")
OBJECTIVES = ("latency_ms", "depth_error", "memory_mib")
"""Axes of a Pareto set, beside the goal (:func:`objectives`)."""


def choose(source: Results | Sequence[Candidate], request: Request | None = None) -> Choice:
    """Pick the cell that serves `request` best.

    Args:
        source: one run's results, or candidates that a merged report collected for one machine.

    Raises: UsageError: nothing was measured for the model or shape asked for, or several workloads are left
    to choose from.
    """
    request = request or Request()
    pool = candidates_of(source) if isinstance(source, Results) else list(source)
    pool = _one_workload(pool, request)
    boundary = request.boundary or default_boundary(candidate.cell for candidate in pool)
    goal = METRICS[request.goal]
    eligible, rejected = _sift(pool, request, boundary)
    order = _by_goal(eligible, goal, boundary)
    cautions = tuple(source_cautions(source) if isinstance(source, Results) else ())
    workload = pool[0].workload
    if not order:
        why = "no cell meets every constraint" if request.constraints else "no cell is eligible"
        near = _closest(rejected)
        return Choice(
            request, workload, boundary, None, f"{why}{near}", (), (), tuple(rejected),
            sensitivity(None, pool, request, boundary, _pick_only), (), {}, {}, cautions,
        )  # fmt: skip
    pick, ties, why = _decide(order, goal, boundary)
    front = _front(eligible, request.goal, boundary)
    tied, best = {id(c) for c in ties}, set(front)
    rejected += [
        Rejected(c.id, "goal", reasons.not_picked(c.cell, pick.cell, goal, boundary, id(c) in tied, c.id in best))
        for c in order
        if c is not pick
    ]
    shown = dict.fromkeys([pick.id, *(c.id for c in ties), *front])
    return Choice(
        request, workload, boundary, pick.id, why, tuple(c.id for c in ties), tuple(front), tuple(rejected),
        sensitivity(pick, pool, request, boundary, _pick_only), _break_evens(pick, ties, order, pool, boundary),
        {c.id: _figures(c, boundary) for c in eligible if c.id in shown},
        {c.id: _intervals(c, boundary) for c in eligible if c.id in shown}, cautions, objectives(request.goal),
    )  # fmt: skip


def _pick_only(pool: Sequence[Candidate], request: Request, boundary: Boundary) -> Candidate | None:
    """The pick of a changed request, for :func:`depthport.bench.choice.sensitivity.sensitivity`."""
    eligible, _ = _sift(pool, request, boundary)
    goal = METRICS[request.goal]
    order = _by_goal(eligible, goal, boundary)
    return _decide(order, goal, boundary)[0] if order else None


def _one_workload(pool: list[Candidate], request: Request) -> list[Candidate]:
    def wanted(c: Candidate) -> bool:
        asked = (request.model, request.views, request.height, request.width)
        has = (c.cell.model, c.cell.views, c.cell.height, c.cell.width)
        return all(a is None or a == h for a, h in zip(asked, has, strict=True))

    kept = [c for c in pool if wanted(c)]
    if not kept:
        there = ", ".join(dict.fromkeys(c.workload for c in pool)) or "nothing"
        raise UsageError(f"nothing was measured for what is asked: the results hold {there}")
    workloads = list(dict.fromkeys(c.workload for c in kept))
    if len(workloads) > 1:
        raise UsageError(f"several workloads are in the results, name one by model, views and size: {'; '.join(workloads)}")
    return kept


def _sift(pool: Sequence[Candidate], request: Request, boundary: Boundary) -> tuple[list[Candidate], list[Rejected]]:
    """Cells that meet everything asked, and the first reason against each of the others."""
    eligible, rejected = [], []
    for candidate in pool:
        against = _against(candidate, request, boundary)
        if against is None:
            eligible.append(candidate)
        else:
            rejected.append(against)
    return eligible, rejected


def _against(candidate: Candidate, request: Request, boundary: Boundary) -> Rejected | None:
    cell = candidate.cell
    device = cell.device.partition(":")[0]
    licence = candidate.licence
    if cell.status is not Status.OK:
        return Rejected(candidate.id, "status", reasons.status(cell))
    if cell.numerics_only:
        return Rejected(candidate.id, "numerics", f"numerics only: {cell.numerics_only}")
    if request.devices and cell.device not in request.devices and device not in request.devices:
        return Rejected(candidate.id, "device", f"runs on {cell.device}, not on {' or '.join(request.devices)}")
    if cell.off_target and not request.devices and not request.runtimes:
        return Rejected(candidate.id, "off_target", f"{cell.off_target}; ask for --device {device} to choose among them")
    if request.runtimes and cell.runtime not in request.runtimes:
        return Rejected(candidate.id, "runtime", f"is run by {cell.runtime}, not by {' or '.join(request.runtimes)}")
    if request.licences and not (licence in request.licences or ("open" in request.licences and is_open_source(licence))):
        return Rejected(candidate.id, "licence", f"{cell.runtime} is under {licence or 'an unknown licence'}")
    for constraint in request.constraints:
        metric = METRICS[constraint.metric]
        found = candidate.of(metric, boundary)
        if found is None:
            return Rejected(candidate.id, "unmeasured", f"{metric.missing}, so the bound on it can't be checked")
        fault = reasons.breach(metric, found, constraint.bound)
        if fault:
            return Rejected(candidate.id, "constraint", fault)
    goal = METRICS[request.goal]
    return None if candidate.of(goal, boundary) else Rejected(candidate.id, "unmeasured", goal.missing)


def _by_goal(eligible: Sequence[Candidate], goal: Metric, boundary: Boundary) -> list[Candidate]:
    def cost(candidate: Candidate) -> tuple[float, str]:
        found = candidate.cost(goal, boundary)
        return (float("inf") if found is None else found.value), candidate.id

    return sorted(eligible, key=cost)


def _decide(order: Sequence[Candidate], goal: Metric, boundary: Boundary) -> tuple[Candidate, tuple[Candidate, ...], str]:
    """The pick among the cells tied for the best, the others of them, and why."""
    best = order[0]
    group = [best, *(c for c in order[1:] if not told_apart(best, c, goal, boundary))]
    if len(group) == 1:
        return best, (), reasons.best_alone([c.cell for c in order], goal, boundary)
    left, decided = list(group), None
    for name in TIE_BREAKERS:
        metric = METRICS[name]
        costs = [(c, c.cost(metric, boundary)) for c in left]
        known = [cost for _, cost in costs if cost is not None]
        if metric is goal or not known:
            continue
        leader = min(known, key=lambda cost: cost.value)
        kept = [c for c, cost in costs if cost is not None and not leader.certainly_below(cost)]
        if len(kept) < len(left):
            left, decided = kept, metric
        if len(left) == 1:
            break
    pick = left[0]
    return pick, tuple(c for c in group if c is not pick), reasons.best_of_ties(goal, len(group), decided)


def objectives(goal: str) -> tuple[str, ...]:
    """Axes of a goal's Pareto set: the goal, depth error, peak memory, and latency unless the goal stands for it."""
    axes = dict.fromkeys([goal, *OBJECTIVES])
    if goal in ("latency_p95_ms", "throughput_img_s"):
        del axes["latency_ms"]
    return tuple(axes)


def _front(eligible: Sequence[Candidate], goal: str, boundary: Boundary) -> list[str]:
    costs = [[c.cost(METRICS[name], boundary) for name in objectives(goal)] for c in eligible]
    return [eligible[i].id for i in pareto_set(costs)]


def _break_evens(
    pick: Candidate, ties: Sequence[Candidate], order: Sequence[Candidate], pool: Sequence[Candidate], boundary: Boundary
) -> tuple[BreakEven, ...]:
    """The pick against the baseline, the runner-up and the soonest starter, with and without the export."""
    references = [c for c in pool if c.cell.baseline and c.cell.timing]
    references += [c for c in order if c is not pick and c not in ties][:1]
    start = METRICS["cold_start_s"]
    timed = [(cost.value, c) for c in order if (cost := c.cost(start, boundary)) is not None]
    if timed:
        references.append(min(timed, key=lambda pair: pair[0])[1])
    found = [
        break_even(pick.cell, other.cell, boundary, with_export=with_export)
        for other in dict.fromkeys(references)
        if other is not pick
        for with_export in (True, False)
    ]
    return tuple(f for f in found if f is not None)


def _figures(candidate: Candidate, boundary: Boundary) -> dict[str, float | None]:
    return {name: metric.read(candidate.cell, boundary)[0] for name, metric in METRICS.items()}


def _intervals(candidate: Candidate, boundary: Boundary) -> dict[str, tuple[float, float] | None]:
    return {name: metric.read(candidate.cell, boundary)[1] for name, metric in METRICS.items()}


def _closest(rejected: Sequence[Rejected]) -> str:
    held = [r for r in rejected if r.kind == "constraint"]
    return f"; {len(held)} would but for a bound" if held else ""


def source_cautions(results: Results) -> list[str]:
    """Doubts that concern the whole answer."""
    doubt = control_doubt(results)
    lines = [f"{doubt}: its verdicts are not to be trusted"] if doubt and results.controls else []
    synthetic = [m for m, info in results.weights.items() if info.get("synthetic", True)]
    if synthetic:
        lines.append(f"the weights of {', '.join(synthetic)} are random: timing and parity are valid, depth values are not")
    if not results.complete:
        lines.append("the run was stopped before its end: cells may be missing")
    return lines
