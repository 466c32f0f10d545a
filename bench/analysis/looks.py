"""A look at a run while it goes on: which cells have surely lost, and whether what matters is known."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from depthport.bench.analysis.evidence import Evidence, baseline_of
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.controls import PLUS5, repeated
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Speedup, is_control
from depthport.bench.results.records import Eliminated
from depthport.bench.statistics.estimate import RoundTable, log_ratio_of_rounds, round_table
from depthport.bench.statistics.stopping import error_at, lost, narrow, surely_slower

CONTROLS_LOOK = 3
"""The look (after 8 rounds) from which the A/A control has shown what the machine's noise is."""


@dataclass(frozen=True)
class Look:
    """What the rounds so far say."""

    lost: tuple[str, ...]
    """Cells whose further rounds would change nothing: those that surely lost, their controls, and a delay once found."""
    enough: bool
    """Every ratio that matters is known to the protocol's `target_half_width`: those of the cells not yet lost."""
    round_noise: float | None
    """Standard deviation of a round's log ratio, in the middle of the cells not yet lost."""
    doubt: float
    """Half-width (log) of the ratios that more rounds will hardly make smaller: other work never pauses. 0: they will."""
    ranking: tuple[tuple[str, Speedup], ...]
    """Cells that compute what upstream does by their ratio so far, fastest first."""


def take_look(
    journal: Journal, timed: Sequence[CellSpec], protocol: Protocol, number: int, wrong: Collection[str] = ()
) -> Look:
    """Look number `number` (bench/statistics/stopping.py) at the cells `timed`, controls among them.

    Args:
        wrong: ids of those that compute something else than upstream.
    """
    boundary = protocol.deciding_boundary
    evidence, out = Evidence(journal), {record.cell for record in journal.of(Eliminated)}
    tables: dict[str, RoundTable] = {
        spec.id: round_table(samples, calm=True)
        for spec in timed
        if spec.id not in evidence.failed and (samples := evidence.samples(spec.id, boundary)) is not None
    }
    cells = [spec for spec in timed if not is_control(spec.tags) and spec.id in tables]
    rivals: dict[str, list[str]] = {}
    for spec in cells:
        base = baseline_of(spec, cells)
        if base is not None and base.id != spec.id:
            rivals.setdefault(base.id, []).append(spec.id)
    losers: list[str] = []
    for base_id, names in rivals.items():
        racing = {name: tables[name] for name in names if name not in out}
        losers += lost(racing, tables[base_id], number, protocol.margin, wrong)
    losers = _with_controls(losers, [spec for spec in timed if spec.id not in out], tables, number)
    kept = [(base_id, name) for base_id, names in rivals.items() for name in names if name not in {*losers, *out}]
    estimates = [log_ratio_of_rounds(tables[base_id], tables[name]) for base_id, name in kept]
    ratios = [
        (name, ratio)
        for base_id, names in rivals.items()
        for name in names
        if (ratio := evidence.speedup(name, base_id, boundary, protocol.margin)) is not None
    ]
    ranking = sorted((pair for pair in ratios if pair[0] not in wrong), key=lambda pair: -(pair[1].ratio or 0.0))
    noises = [one.round_noise for one in estimates if one is not None and one.round_noise is not None]
    noise = statistics.median(noises) if noises else None
    doubts = [one.half_width or 0.0 for one in estimates if one is not None and one.in_doubt]
    doubt = statistics.median(doubts) if 2 * len(doubts) > len(estimates) else 0.0
    return Look(tuple(losers), narrow(estimates, protocol.target_half_width), noise, doubt, tuple(ranking))


def _with_controls(
    losers: Sequence[str], timed: Sequence[CellSpec], tables: Mapping[str, RoundTable], number: int
) -> list[str]:
    """`losers`, with the controls that are done: a delay once it is found, both with the cell that they repeat.

    That cell stays, however slow, until the delay is found and `CONTROLS_LOOK` has come.
    """
    repeats = repeated([spec for spec in timed if not is_control(spec.tags)], {spec.id for spec in timed})
    if repeats is None:
        return list(losers)
    subject = repeats.id
    controls = [spec for spec in timed if is_control(spec.tags) and spec.id in tables and subject in tables]
    delayed = [spec.id for spec in controls if PLUS5 in spec.tags]
    found = [
        name for name in delayed if surely_slower(tables[name], tables[subject], error_at(number, 1), 0.0, launch_noise=0.0)
    ]
    if controls and (number < CONTROLS_LOOK or found != delayed):
        losers = [name for name in losers if name != subject]
    if subject in losers:
        found = [spec.id for spec in controls]
    return [*losers, *found]
