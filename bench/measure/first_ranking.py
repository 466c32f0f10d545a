"""A first ranking, shown while exports that take minutes are left.

The workers of the cells that are ready are started as for the first launch, and stay for it. A few rounds of them go into
a journal of their own, which is thrown away: they are shown, and are no part of the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from depthport.bench.measure.measure import FIRST_RANKING, Measurement
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.pool import Timed, WorkerPool
from depthport.bench.measure.run_length import rounds_s
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.journal import NAME, Journal
from depthport.bench.results.records import Launch
from depthport.runtimes.registry import get_runtime

MOST_CELLS = 6
"""Most cells that it has, with the baseline."""
SHARE = 0.25
"""Most of the run's budget that its rounds may come on top of."""


def first_ranking(
    ready: Sequence[Timed],
    exports: int,
    pool: WorkerPool,
    protocol: Protocol,
    journal: Journal,
    work: Path,
    observer: Observer,
    clock: Callable[[], float],
) -> None:
    """Show it, unless there is nothing to rank yet, its rounds would take long, or a resumed run has got further than this.

    Args:
        ready: cells that can be timed; those that compile for minutes wait.
        exports: number of those that are left.
        pool: where their workers stay.
        protocol, journal, observer, clock: the run's.
        work: a folder for outputs that nobody reads.
    """
    cells = [cell for cell in ready if cell.spec.mode not in (get_runtime(cell.spec.runtime).compiles or ())]
    if protocol.order == "sequential" or journal.of(Launch) or not _rankable(cells):
        return
    cells = sorted(cells, key=lambda cell: not cell.spec.baseline)[:MOST_CELLS]
    late = f"{exports} exports that take" if exports > 1 else "an export that takes"
    observer.stage(f"a first ranking, before {late} minutes", len(cells))
    pool.add(cells)
    pool.start(0, {cell.spec.id for cell in cells})
    if not _rankable(cells, pool) or pool.relaunch:
        return
    if sum(rounds_s(protocol, journal, FIRST_RANKING).values()) > SHARE * protocol.budget_s:
        return
    rounds = replace(protocol, min_rounds=FIRST_RANKING, max_rounds=FIRST_RANKING)
    with TemporaryDirectory(dir=work) as folder, Journal(Path(folder) / NAME) as apart:
        for launch in journal.of(Launch):
            apart.append(launch)
        Measurement(pool, rounds, apart, Path(folder), observer, clock).preview()
    if _rankable(cells, pool):
        observer.note("this first ranking is no part of the results: the rest is exported now, and all are timed together")


def _rankable(cells: Sequence[Timed], pool: WorkerPool | None = None) -> bool:
    """Return whether a baseline and another cell are among `cells`, or among those that have not failed in `pool`."""
    alive = [cell for cell in cells if pool is None or cell.spec.id in pool.alive()]
    return {cell.spec.baseline for cell in alive} == {True, False}
