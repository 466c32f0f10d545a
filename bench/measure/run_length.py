"""Number of launches and rounds of a run: the protocol's own counts, or those its budget carries.

Chosen after the first start, when every cell's costs are known (bench/plan/design.py), and journaled, so that a resumed run
keeps to it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from msgspec import structs

from depthport.bench.measure.pool import Timed
from depthport.bench.plan.design import VARIANCE, VISIT_S, CellCost, Design, choose_design, round_noise
from depthport.bench.plan.protocol import Protocol
from depthport.bench.plan.schedule import Order
from depthport.bench.plan.visits import CallTimes, Visit, plan_visits
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Speedup
from depthport.bench.results.records import DesignChosen, Launch, Residency, VisitDone
from depthport.bench.statistics.figures import ratio, seconds

_MORE = 4
"""Budgets whose worth is said beside that of one."""
_REPEATED_ROUNDS = 10
_CACHED_FIRST_CALL_S = 10.0
"""Most that a first call costs in later processes, for which compiled code is cached."""


def current_design(protocol: Protocol, journal: Journal) -> Design:
    """The design in force; one launch of as many rounds as fit until another was chosen."""
    chosen = journal.of(DesignChosen)
    if protocol.launches is None and chosen:
        entry = chosen[-1]
        half_width = math.inf if entry.expected_half_width is None else entry.expected_half_width
        return Design(entry.launches, entry.rounds, Order(entry.order), half_width, entry.expected_s)
    order = Order.RANDOM if protocol.order == "sequential" else Order(protocol.order)
    return Design(protocol.launches or 1, protocol.max_rounds, order, math.inf, math.inf)


def design_run(protocol: Protocol, journal: Journal, alive: Iterable[Timed]) -> str | None:
    """Choose and journal the design after the first start; what it should tell, and what more time would buy, in a line.

    None where the design is fixed or was chosen before.
    """
    if protocol.launches is not None or journal.of(DesignChosen):
        return None
    cells = list(alive)
    first, visits = first_launches(journal), visits_of(protocol, journal)
    noise = round_noise([(_steady_ms(first[owner]), visit.blocks[0].samples) for owner, visit in visits.items()])
    costs = [_cost(timed, first[timed.owner], visits[timed.owner]) for timed in cells]
    design = choose_design(costs, protocol.budget_s, round_noise=noise)
    finite = math.isfinite(design.expected_half_width)
    journal.append(
        DesignChosen(
            launches=design.launches,
            rounds=min(design.rounds, protocol.max_rounds),
            order=design.order.value,
            expected_half_width=design.expected_half_width if finite else None,
            expected_s=design.expected_s,
            round_noise=noise,
        )
    )
    more = choose_design(costs, _MORE * protocol.budget_s, round_noise=noise)
    return (
        f"{_counts(design)}, about {seconds(design.expected_s)}{_known(design)}{_known(more, f'; {_MORE} times as long')}"
    )


def redesign(
    protocol: Protocol, journal: Journal, timed: Iterable[Timed], launch: int, round_noise: float | None
) -> str | None:
    """Choose and journal the number of launches anew, in launch number `launch`, for the cells that are still timed.

    What it should tell, in a line; None where the number stays.

    Args:
        round_noise: of a round in the run's order, as it came out; None: what was expected of a mirrored one holds.
    """
    if not journal.of(DesignChosen):
        return None
    first, visits, design = first_launches(journal), visits_of(protocol, journal), journal.of(DesignChosen)[-1]
    costs = [_cost(cell, first[cell.owner], visits[cell.owner]) for cell in timed]
    rounds = len({(e.launch, e.round) for e in journal.of(VisitDone)})
    left_s = protocol.budget_s - sum(spent_s(journal, number) for number in range(launch + 1))
    order = Order(design.order)
    noise = design.round_noise if round_noise is None else round_noise / math.sqrt(VARIANCE[order])
    found = choose_design(costs, left_s, round_noise=noise, orders=(order,), begun=launch + 1, rounds=rounds)
    if found.launches == design.launches:
        return None
    half_width = found.expected_half_width
    journal.append(structs.replace(design, launches=found.launches, rounds=found.rounds, expected_half_width=half_width))
    return f"now {_counts(found)}{_known(found)}"


def spent_s(journal: Journal, launch: int) -> float:
    """Seconds of the budget that a launch has used so far."""
    return started_s(journal, launch) + sum(e.wall_s for e in journal.of(VisitDone) if e.launch == launch)


def started_s(journal: Journal, launch: int) -> float:
    """Seconds of the budget that starting and warming up the workers of a launch took.

    Of a worker that was started again (after a kill, or to make room for exports) only the last time: rounds are not fewer
    for it.
    """
    if journal.of(Residency):
        return 0.0
    return sum(map(repeatable_launch_s, {e.cell: e for e in journal.of(Launch) if e.launch == launch}.values()))


def first_launches(journal: Journal) -> dict[str, Launch]:
    """The first start of every worker, by the id of its cell."""
    first: dict[str, Launch] = {}
    for launch in journal.of(Launch):
        first.setdefault(launch.cell, launch)
    return first


def visits_of(protocol: Protocol, journal: Journal) -> dict[str, Visit]:
    """Return what a visit of each worker's cells runs; constant throughout a run, even when resumed."""
    times = {owner: CallTimes(_call_s(e), e.calibration.sync_ns / 1e9) for owner, e in first_launches(journal).items()}
    from_files = protocol.boundary == "pipeline"
    return plan_visits(times, protocol.overhead_target, protocol.timed_calls, from_files=from_files)


def repeating_s(protocol: Protocol, journal: Journal) -> dict[str, float]:
    """Seconds of starting each worker and timing it for `_REPEATED_ROUNDS`: what a control of it would cost."""
    timing_s = rounds_s(protocol, journal, _REPEATED_ROUNDS)
    return {o: repeatable_launch_s(e) + timing_s[o] for o, e in first_launches(journal).items()}


def rounds_s(protocol: Protocol, journal: Journal, rounds: int) -> dict[str, float]:
    """Seconds of timing each worker that was started for so many mirrored rounds."""
    first, visits = first_launches(journal), visits_of(protocol, journal)
    blocks = rounds * Order.MIRRORED.blocks_per_round
    return {o: blocks * visits[o].calls * _call_s(e) for o, e in first.items()}


def so_far(ranking: Sequence[tuple[str, Speedup]]) -> str:
    """The first ranking in one line: it will change."""
    return "so far: " + ", ".join(f"{cell} {ratio(found.ratio, found.ci95)}" for cell, found in ranking)


def known_at_best(half_width: float) -> str:
    """What more rounds will not change, in one line."""
    return f"others keep the CPUs busy: ratios within a factor of {math.exp(half_width):.2g} at best; close what else runs"


def _counts(design: Design) -> str:
    launches = f"{design.launches} launch{'es' if design.launches > 1 else ''}"
    return f"{launches} of {design.rounds} {design.order.value} round{'s' if design.rounds > 1 else ''}"


def _known(design: Design, when: str = "") -> str:
    known = math.isfinite(design.expected_half_width)
    return f"{when}: ratios to about ±{100 * design.expected_half_width:.1f} %" if known else ""


def launch_wall_s(launch: Launch) -> float:
    """Seconds that one start took."""
    if launch.wall_s is not None:
        return launch.wall_s
    warm_ms = launch.first_call_ms + launch.calibration.call_ns / 1e6 + sum(launch.warmup_ms)
    return launch.load_s + warm_ms / 1e3


def repeatable_launch_s(launch: Launch) -> float:
    """Seconds that a start takes when what it compiled is cached: what a launch's budget is charged with."""
    first_s = launch.first_call_ms / 1e3
    return launch_wall_s(launch) - first_s + min(first_s, max(_CACHED_FIRST_CALL_S, 2 * launch.calibration.call_ns / 1e9))


def _call_s(launch: Launch) -> float:
    return statistics.median([launch.calibration.call_ns / 1e6, *launch.warmup_ms]) / 1e3


def _steady_ms(launch: Launch) -> list[float]:
    """The later half of a start's warm-up calls."""
    return launch.warmup_ms[len(launch.warmup_ms) // 2 :]


def _cost(timed: Timed, launch: Launch, visit: Visit) -> CellCost:
    start_s = 0.0 if timed.shares_worker_with else repeatable_launch_s(launch)
    return CellCost(VISIT_S + visit.calls * _call_s(launch), start_s)
