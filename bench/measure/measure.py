"""Timed rounds: live workers, one active at a time, in mirrored or seeded random order, every block journaled.

A *launch* is one start of every worker; a *round* visits every cell twice (mirrored) or once (random); a visit runs
one *block* per boundary. Where the workers do not fit in memory together (bench/measure/pool.py), each round is its own
launch. Nothing here computes a statistic that is reported: bench/analysis/analysis.py does, from the journal.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec import structs

from depthport.bench.analysis.analysis import wrong_cells
from depthport.bench.analysis.looks import take_look
from depthport.bench.environment.telemetry import Telemetry
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.pool import Member, Timed, WorkerPool, outputs_file
from depthport.bench.measure.repeats import ATTEMPTS, Repeats
from depthport.bench.measure.run_length import (
    current_design,
    design_run,
    known_at_best,
    redesign,
    repeating_s,
    so_far,
    spent_s,
    started_s,
    visits_of,
)
from depthport.bench.plan.controls import DELAY, control_subject, controls_of, repeated
from depthport.bench.plan.protocol import Protocol
from depthport.bench.plan.schedule import round_order, shuffled
from depthport.bench.plan.visits import Visit, VisitBlock
from depthport.bench.results.journal import Journal
from depthport.bench.results.records import Eliminated, Enough, Launch, LaunchDone, TimedBlock, VisitDone
from depthport.bench.statistics.stopping import look_number
from depthport.bench.workers.live_cell import CellFailed
from depthport.bench.workers.messages import BlockSamples, RunBlock
from depthport.exporters.core.files.npz import is_whole

ROUNDS_SHARE = 0.1
"""Least time for a launch's rounds, as a share of its start, whatever the budget: a single round after
a minute of loading hangs on every stray call."""

FIRST_RANKING = 2
"""Rounds after which a first ranking is shown; nothing is decided by it."""


class Measurement:
    """Runs the rounds of the cells of a pool, resuming from what its journal already holds."""

    def __init__(
        self,
        pool: WorkerPool,
        protocol: Protocol,
        journal: Journal,
        work: Path,
        observer: Observer,
        clock: Callable[[], float],
        references: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        self._pool = pool
        self._cells = pool.cells
        self._inputs = len(pool.inputs)
        self._protocol = protocol
        self._journal = journal
        self._work = work
        self._observer = observer
        self._clock = clock
        self._references = references
        self._wrong: frozenset[str] | None = None  # not yet looked at
        subject = repeated([cell.spec for cell in pool.cells.values()], {e.cell for e in journal.of(Launch)})
        if subject is not None:
            self._repeat(subject.id)
        self._telemetry = Telemetry(gpus=any(cell.spec.device != "cpu" for cell in self._cells.values()))
        self._visits: dict[str, Visit] = {}
        self._repeats = Repeats(1 if protocol.timed_calls else ATTEMPTS)
        self._blocks = Counter(e.cell for e in journal.of(TimedBlock))
        self._saved = {(e.cell, e.input) for e in journal.of(TimedBlock) if e.outputs and is_whole(work / e.outputs)}

    def run(self) -> None:
        """Measure until every launch has used its share of the budget, or the ratios that matter are known as asked."""
        done = {e.launch for e in self._journal.of(LaunchDone)}
        late = self._late(done)
        try:
            launch = 0
            while launch < self._launches() * (2 if late & set(self._pool.alive()) else 1):
                if launch not in done:
                    self._launch(launch)
                    if not self._pool.alive() or (self._journal.of(Enough) and not late):
                        return
                launch += 1
        finally:
            self._telemetry.close()

    def preview(self) -> None:
        """Run rounds of the workers that are alive, which end nothing and are no part of a launch."""
        try:
            self._rounds(0)
        finally:
            self._telemetry.close()

    def _launches(self) -> int:
        return current_design(self._protocol, self._journal).launches

    def _late(self, done: set[int]) -> set[str]:
        """Measure again the cells that failed for lack of a resource, in a run that is otherwise complete.

        They are measured in their own launches, together with all others, so that every ratio is of rounds run at one
        time.
        """
        over = done and set(range(self._launches())) <= done
        return {cell for cell in self._pool.alive() if over and not self._blocks[cell]}

    def _launch(self, launch: int) -> None:
        timed = {self._cells[cell].owner for cell in self._timed(launch, 0) if cell in self._pool.alive()}
        self._observer.stage(f"warming up, launch {launch + 1}", len(timed))
        self._pool.start(launch, timed)
        if self._protocol.controls and not any(cell.control for cell in self._cells.values()) and self._pool.alive():
            self._add_controls(launch)
        if not self._pool.alive():
            return
        if not self._pool.relaunch:
            chosen = design_run(self._protocol, self._journal, [self._cells[c] for c in self._pool.alive()])
            if chosen is not None:
                self._observer.note(chosen)
        self._observer.stage(f"measuring, launch {launch + 1} of {max(launch + 1, self._launches())}")
        self._rounds(launch)
        self._pool.finish(launch)
        self._journal.append(LaunchDone(launch=launch))

    def _add_controls(self, launch: int) -> None:
        """Repeat the cell that is cheapest to repeat, known now that all have started."""
        alive = [self._cells[cell].spec for cell in self._pool.alive()]
        costs = repeating_s(self._protocol, self._journal)
        subject = control_subject(alive, {cell: s for cell, s in costs.items() if cell in self._pool.alive()}).id
        control = self._repeat(subject)
        self._pool.start(launch, {control})
        # Which of the two processes is the control is drawn: the one that started last always would have a bias of its own.
        if shuffled([subject, control], self._protocol.seed, "control")[0] == control:
            self._pool.exchange(subject, control)

    def _repeat(self, subject: str) -> str:
        """Add the controls of a cell, and return the id of the one with a process of its own."""
        cell = self._cells[subject]
        aa, plus5 = controls_of(cell.spec)
        delayed = Timed(plus5, cell.artifact, shares_worker_with=subject, delay_share=DELAY)
        self._pool.add([Timed(aa, cell.artifact), delayed])
        return aa.id

    def _rounds(self, launch: int) -> None:
        visits = [e for e in self._journal.of(VisitDone) if e.launch == launch]
        done = {(e.round, e.visit) for e in visits}
        used_s = sum(e.wall_s for e in visits)
        for number in range(self._protocol.max_rounds):
            before_s, budget_s = used_s, self._budget_s(launch)
            for visit, cell in enumerate(self._turns(launch, number)):
                if (number, visit) in done or cell not in self._pool.alive():
                    continue
                self._observer.step(f"round {number + 1}: {cell}")
                began = time.monotonic()
                try:
                    self._visit(cell, launch, number, visit)
                except CellFailed as failure:
                    self._pool.fail(self._cells[cell].owner, failure)
                used_s += time.monotonic() - began
                self._observer.budget(used_s, max(budget_s, used_s))
            if not self._pool.alive():
                return
            if used_s > before_s:  # not while a resumed run passes what it had
                self._look(launch, number)
            # Another round as long as this one must still fit in the budget.
            spent = used_s + (used_s - before_s) > self._budget_s(launch)
            if number + 1 >= self._protocol.min_rounds and (spent or self._journal.of(Enough)):
                return

    def _budget_s(self, launch: int) -> float:
        """Time for the rounds of a launch: an equal share of what those before it have left."""
        launches, budget_s, started = self._launches(), self._protocol.budget_s, started_s(self._journal, launch)
        share_s = budget_s / launches
        if launch < launches:
            share_s = (budget_s - sum(spent_s(self._journal, one) for one in range(launch))) / (launches - launch)
        return max(share_s - started, ROUNDS_SHARE * started)

    def _look(self, launch: int, number: int) -> None:
        """After some rounds: put out what has surely lost, and see whether the rest is known as asked."""
        rounds = len({(e.launch, e.round) for e in self._journal.of(VisitDone)})
        which = look_number(rounds)
        if (which is None and rounds != FIRST_RANKING) or self._protocol.order == "sequential":
            return
        timed = [cell.spec for cell in self._cells.values()]
        wrong = self._wrong
        if wrong is None:
            wrong = wrong_cells(timed, self._journal, self._references, self._work)
        look = take_look(self._journal, timed, self._protocol, which or 1, wrong)
        if which is None:
            if look.ranking:
                self._observer.note(so_far(look.ranking))
            return
        self._wrong = wrong
        if look.doubt and which == 1:
            self._observer.note(known_at_best(look.doubt))
        for cell in look.lost:
            self._journal.append(Eliminated(cell=cell, launch=launch, round=number))
        alive = self._pool.alive()
        kept = [self._cells[cell] for cell in self._timed(launch, number + 1) if cell in alive]
        chosen = redesign(self._protocol, self._journal, kept, launch, look.round_noise)
        if chosen is not None:
            self._observer.note(chosen)
        if look.enough and not self._journal.of(Enough):
            self._journal.append(Enough())

    def _timed(self, launch: int, number: int) -> list[str]:
        """The cells that a round times: all but those that had lost before it."""
        out = {e.cell for e in self._journal.of(Eliminated) if (e.launch, e.round) < (launch, number)}
        return [cell for cell in self._cells if cell not in out]

    def _turns(self, launch: int, number: int) -> Sequence[str]:
        """The order in which cells take turns in a round; a pure function of plan and journal, so a resumed run agrees."""
        cells = self._timed(launch, number)
        if self._protocol.order == "sequential":
            return cells
        order = current_design(self._protocol, self._journal).order
        return round_order(cells, order, self._protocol.seed, launch, number)

    def _visit(self, cell: str, launch: int, number: int, visit: int) -> None:
        timed = self._cells[cell]
        began = time.monotonic()
        member = self._pool.call_in(timed.owner, launch)
        # Workers started for each visit make each round a launch of its own.
        replicate = launch * self._protocol.max_rounds + number if self._pool.relaunch else launch
        token = self._telemetry.before(self._pool.parked_pids(timed.owner))
        for block in self._visit_of(timed.owner).blocks:
            for attempt in itertools.count(1):
                timed_block = self._block(member, timed, block, replicate, number, visit)
                self._journal.append(timed_block)
                if not self._repeats.again(timed_block.calm_share, attempt):
                    break
        telemetry = self._telemetry.after(token, member.live.pid)
        self._pool.dismiss(timed.owner, launch)
        wall_s = time.monotonic() - began
        self._journal.append(
            VisitDone(cell=cell, launch=launch, round=number, visit=visit, wall_s=wall_s, telemetry=telemetry)
        )

    def _block(self, member: Member, timed: Timed, block: VisitBlock, launch: int, number: int, visit: int) -> TimedBlock:
        """Run one block."""
        cell = timed.spec.id
        # A cell's n-th block ends with input n, so that a few short blocks see, and keep the outputs of, every input.
        last = self._blocks[cell] % self._inputs
        save = self._save_path(cell, last)
        # A delayed call waits for its own end: grouped calls each gain a synchronize, which is part of the delay.
        delay_ns = int(timed.delay_share * member.call_ns) - member.calibration.sync_ns if timed.delay_share else 0
        request = RunBlock(
            boundary=block.boundary,
            calls=block.calls,
            samples=block.samples,
            warmups=block.warmups,
            delay_ns=max(0, delay_ns),
            first_input=(last - block.samples + 1) % self._inputs,
            save_outputs=None if save is None else str(save),
        )
        started = self._clock()
        found = member.live.block(request, block.samples * block.calls * member.call_ns / 1e9)
        self._blocks[cell] += 1
        member.call_ms += [ns * (found.calm_share or 1.0) / block.calls / 1e6 for ns in _durations_ns(found)]
        if save is not None:
            self._saved.add((cell, found.input))
        return TimedBlock(
            cell=cell,
            launch=launch,
            round=number,
            visit=visit,
            calls=block.calls,
            starts_s=[round(started + (ns - found.starts_ns[0]) / 1e9, 6) for ns in found.starts_ns],
            outputs=None if save is None else save.name,
            **{name: value for name, value in structs.asdict(found).items() if name != "starts_ns"},
        )

    def _visit_of(self, owner: str) -> Visit:
        if owner not in self._visits:
            self._visits = visits_of(self._protocol, self._journal)
        return self._visits[owner]

    def _save_path(self, cell: str, index: int) -> Path | None:
        """Return the path for a block's last outputs, if this cell's outputs for that input are not kept yet."""
        if (cell, index) in self._saved or self._cells[cell].shares_worker_with:
            return None
        return self._work / outputs_file(cell, index)


def _durations_ns(found: BlockSamples) -> list[int]:
    """Return the durations of a block's samples, at whichever boundary they were timed."""
    return found.device_ns or found.host_ns or found.pipeline_ns or found.stream_ns or []
