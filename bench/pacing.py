"""How many launches and rounds a run makes: the protocol's own counts, or those its budget carries.

Chosen after the first start, when every cell's costs are known (bench/design.py), and journaled, so that a resumed run
keeps to it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from bench.crew import Timed
from bench.design import CellCost, Design, choose_design
from bench.journal import Journal
from bench.protocol import Protocol
from bench.schedule import Order

_CACHED_FIRST_CALL_S = 10.0
"""What compiled in the first process is cached for the next: a first call costs at most about this again."""


def current_design(protocol: Protocol, journal: Journal) -> Design:
    """The design in force; one launch of as many rounds as fit until another was chosen."""
    chosen = journal.of_kind("design")
    if protocol.launches is None and chosen:
        entry = chosen[0]
        return Design(
            entry["launches"],
            entry["rounds"],
            Order(entry["order"]),
            entry["expected_half_width"] or math.inf,
            entry["expected_s"],
        )
    order = Order.RANDOM if protocol.order == "sequential" else Order(protocol.order)
    return Design(protocol.launches or 1, protocol.max_rounds, order, math.inf, math.inf)


def settle_design(protocol: Protocol, journal: Journal, alive: Iterable[Timed]) -> Design | None:
    """Choose and journal the design after the first start; None where it is fixed or was chosen before."""
    if protocol.launches is not None or journal.of_kind("design"):
        return None
    launches = journal.of_kind("launch")
    design = choose_design([_cost(timed, launches) for timed in alive], protocol.budget_s)
    finite = math.isfinite(design.expected_half_width)
    journal.append(
        "design",
        {
            "launches": design.launches,
            "rounds": min(design.rounds, protocol.max_rounds),
            "order": design.order.value,
            "expected_half_width": design.expected_half_width if finite else None,
            "expected_s": design.expected_s,
        },
    )
    return design


def describe(design: Design) -> str:
    """The design in one line for people."""
    what = f"{design.launches} launches of {design.rounds} {design.order.value} rounds"
    known = f": ratios to about ±{100 * design.expected_half_width:.1f} %"
    return f"{what}, about {design.expected_s / 60:.0f} min" + (
        known if math.isfinite(design.expected_half_width) else ""
    )


def launch_wall_s(entry: Mapping[str, Any]) -> float:
    """Seconds that one start took, from its journal entry."""
    warm_ms = entry["first_call_ms"] + entry["call_ns"] / 1e6 + sum(entry["warmup_ms"])
    return float(entry["load_s"] + warm_ms / 1e3)


def repeatable_launch_s(entry: Mapping[str, Any]) -> float:
    """Seconds that a start takes when what it compiled is cached: what a launch's budget is charged with."""
    first_s = entry["first_call_ms"] / 1e3
    return launch_wall_s(entry) - first_s + min(first_s, max(_CACHED_FIRST_CALL_S, 2 * entry["call_ns"] / 1e9))


def _cost(timed: Timed, launches: Iterable[Mapping[str, Any]]) -> CellCost:
    entry = next(e for e in launches if e["cell"] == timed.owner)
    call_s = statistics.median([entry["call_ns"] / 1e6, *entry["warmup_ms"]]) / 1e3
    if timed.shares_worker_with:
        return CellCost(call_s, 0.0)
    return CellCost(call_s, repeatable_launch_s(entry))
