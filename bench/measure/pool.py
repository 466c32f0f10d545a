"""The workers of one launch: started and warmed up once, alive together, one active at a time.

Where they do not fit in memory together (or one runs out of memory while others are alive) the pool changes for good to
restarting each worker for every visit, and the journal and the report say so.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from depthport.bench.measure.observer import Observer
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.design import warmup_rule
from depthport.bench.plan.protocol import Protocol
from depthport.bench.plan.schedule import shuffled
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import is_control
from depthport.bench.results.records import Calibration, Failed, GroundTruthOutputs, Launch, Residency
from depthport.bench.statistics.steady_state import steady_state
from depthport.bench.workers.live_cell import CellFailed, LiveCell
from depthport.bench.workers.messages import RunBlock
from depthport.bench.workers.passing import OUT_OF_MEMORY
from depthport.exporters.core.files.npz import is_whole
from depthport.exporters.core.provenance import canonical_sha256


@dataclass(frozen=True)
class Timed:
    """A cell to be timed: what to load, and which delay (share of a call) to add, for the +5 % control."""

    spec: CellSpec
    artifact: Path
    shares_worker_with: str | None = None
    """Id of the cell whose worker runs this one's blocks too (the +5 % control)."""
    delay_share: float = 0.0

    @property
    def control(self) -> bool:
        """True if it only repeats another cell."""
        return is_control(self.spec.tags)

    @property
    def owner(self) -> str:
        """Id of the cell whose worker runs it."""
        return self.shares_worker_with or self.spec.id


@dataclass
class Member:
    """A live worker and what is known of its calls within this launch."""

    live: LiveCell
    calibration: Calibration
    call_ms: list[float] = field(default_factory=list)
    """Without waiting for a CPU after the first, which the calibration timed: what a control's delay is a share of."""
    next_input: int = 0

    @property
    def call_ns(self) -> int:
        """Present duration of a call: the median of the last five."""
        return max(1, int(statistics.median(self.call_ms[-5:]) * 1e6))


class _NoRoom(Exception):
    """The workers do not fit in memory together."""


class WorkerPool:
    """All workers of a measurement; see the module's docstring."""

    def __init__(
        self,
        inputs: list[Path],
        protocol: Protocol,
        journal: Journal,
        observer: Observer,
        clock: Callable[[], float],
        truth: Sequence[Path] = (),
    ) -> None:
        self.relaunch = bool(journal.of(Residency))
        """Each worker is restarted for every visit."""
        self.cells: dict[str, Timed] = {}
        """By id."""
        self.inputs = inputs
        self._protocol = protocol
        self._journal = journal
        self._observer = observer
        self._clock = clock
        self._truth = truth
        self._members: dict[str, Member] = {}
        self._inferred = {
            (e.cell, e.scene) for e in journal.of(GroundTruthOutputs) if truth and is_whole(truth[0].with_name(e.outputs))
        }
        self._failed = {e.cell for e in journal.of(Failed)}

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            self.kill()

    def add(self, cells: Iterable[Timed]) -> None:
        """Take on cells; their workers are started when they are wanted."""
        self.cells.update({cell.spec.id: cell for cell in cells})

    def alive(self) -> list[str]:
        """Cells whose worker has not failed."""
        return [id for id, timed in self.cells.items() if timed.owner not in self._failed]

    def parked_pids(self, active: str) -> list[int | None]:
        """Processes that must be quiet while `active` runs."""
        return [member.live.pid for owner, member in self._members.items() if owner != active]

    def start(self, launch: int, wanted: Collection[str]) -> None:
        """Start and warm up the workers `wanted` that do not run, unless they are started for each visit.

        In an order of the launch's own: whoever starts first always would have its memory laid out first always.
        """
        if self.relaunch:
            return
        for owner in [o for o, member in self._members.items() if not member.live.running]:
            self._members.pop(owner).live.close()
        missing = [c for c in self.alive() if c in wanted and c not in self._members]
        try:
            for owner in shuffled(missing, self._protocol.seed, "start", launch):
                if not _room_for_one_more(self._members):
                    raise _NoRoom
                self._observer.step(f"{owner}: loading and warming up", 1)
                try:
                    self._members[owner] = self._start_one(owner, launch)
                except CellFailed as failure:
                    if is_memory_failure(failure) and self._members:
                        raise _NoRoom from failure
                    self.fail(owner, failure)
        except _NoRoom:
            self.relaunch = True
            self.close()
            self._journal.append(Residency())
            self._observer.note("the workers do not fit in memory together: each is restarted for every visit")

    def exchange(self, one: str, other: str) -> None:
        """Let two workers that are alike run each other's cell."""
        if one in self._members and other in self._members:
            self._members[one], self._members[other] = self._members[other], self._members[one]

    def call_in(self, owner: str, launch: int) -> Member:
        """The worker of `owner`, started now if it is not alive.

        Raises:
            CellFailed: it could not be started.
        """
        if owner not in self._members:
            self._members[owner] = self._start_one(owner, launch)
        return self._members[owner]

    def dismiss(self, owner: str, launch: int) -> None:
        """End a worker that was called in for one visit only."""
        if self.relaunch and owner in self._members:
            member = self._members.pop(owner)
            self._report(owner, member, launch)
            member.live.close()

    def fail(self, owner: str, failure: CellFailed) -> None:
        """A cell is out; the run goes on without it."""
        member = self._members.pop(owner, None)
        if member is not None:
            member.live.close()
        self._failed.add(owner)
        self._journal.append(failure.record(owner))
        self._observer.warning(f"{owner}: {failure.status.value}: {failure.reason}")

    def finish(self, launch: int) -> None:
        """Journal every worker's placement and peak memory, and end them all."""
        for owner, member in list(self._members.items()):
            self._report(owner, member, launch)
        self.close()

    def close(self) -> None:
        for member in self._members.values():
            member.live.close()
        self._members.clear()

    def kill(self) -> None:
        """End every worker at once: the run was stopped."""
        for member in self._members.values():
            member.live.kill()
        self._members.clear()

    def _start_one(self, owner: str, launch: int) -> Member:
        """Start one worker and warm it up; all its calls are journaled as warm-up samples."""
        timed = self.cells[owner]
        live = LiveCell(timed.spec, timed.artifact, self.inputs, self._protocol)
        try:
            started, began = self._clock(), time.monotonic()
            load_s = live.load()
            first_ms = live.first_call()
            calibration = live.calibrate()
            member = Member(live, calibration, [calibration.call_ns / 1e6])
            warm = _warm_up(member, first_ms, self._protocol)
        except CellFailed:
            live.close()
            raise
        except BaseException:
            live.kill()
            raise
        self._journal.append(
            Launch(
                cell=owner,
                launch=launch,
                started_s=started,
                load_s=load_s,
                first_call_ms=first_ms,
                calibration=calibration,
                warmup_ms=warm,
                steady=is_steady([calibration.call_ns / 1e6, *warm]),
                wall_s=time.monotonic() - began,
            )
        )
        return member

    def _report(self, owner: str, member: Member, launch: int) -> None:
        try:
            self._journal.append(member.live.report(launch))
            self._infer(owner, member)
        except CellFailed as failure:
            self.fail(owner, failure)

    def _infer(self, owner: str, member: Member) -> None:
        """Keep what the cell computes on the scenes with exact truth, once: after its timed calls and its memory."""
        if self.cells[owner].control:
            return
        for index, source in enumerate(self._truth):
            if (owner, index) not in self._inferred:
                outputs = source.with_name(outputs_file(owner, f"truth-{index}"))
                member.live.infer(source, outputs)
                self._journal.append(GroundTruthOutputs(cell=owner, scene=index, outputs=outputs.name))
                self._inferred.add((owner, index))


def outputs_file(cell: str, what: object) -> str:
    """Name of the file that keeps what a cell computed, whatever other cells a resumed run has left."""
    return f"outputs-{canonical_sha256(cell)[:12]}-{what}.npz"


def is_steady(call_ms: Sequence[float]) -> bool:
    """Return whether the calls so far end in a steady state, by the windows that suit how long a call takes."""
    rule = warmup_rule(statistics.median(call_ms) / 1e3)
    return steady_state(call_ms, rule.window, rule.tolerance) is not None


def _warm_up(member: Member, first_ms: float, protocol: Protocol) -> list[float]:
    """Call until two windows agree, or the warm-up's budget or count is used.

    Returns ms of each call after the calibration's (which is the second call of the process).
    """
    calls: list[float] = []
    second_ms = member.call_ms[0]
    spent_s = (first_ms + second_ms) / 1e3
    fixed = protocol.timed_calls is not None
    while 2 + len(calls) < protocol.warmup_calls or (not fixed and not is_steady([second_ms, *calls])):
        if spent_s > protocol.warmup_budget_s:
            break
        samples = protocol.warmup_calls - 2 - len(calls) if fixed else warmup_rule(member.call_ns / 1e9).window
        reply = member.live.block(
            RunBlock(boundary="device", calls=1, samples=samples, first_input=member.next_input),
            samples * member.call_ns / 1e9,
        )
        member.next_input += samples
        new = [ns / 1e6 for ns in reply.device_ns or ()]
        calls += new
        member.call_ms += [ms * (reply.calm_share or 1.0) for ms in new]
        spent_s += sum(new) / 1e3
    return calls


def is_memory_failure(failure: CellFailed) -> bool:
    """Return whether a cell ended because it did not fit: it said so, or the system killed something for lack of memory."""
    return failure.passing == OUT_OF_MEMORY


def _room_for_one_more(members: Mapping[str, Member]) -> bool:
    """Return whether another worker as large as the largest so far would still fit in this machine's memory."""
    sizes = []
    for member in members.values():
        if member.live.pid is not None:
            try:
                sizes.append(psutil.Process(member.live.pid).memory_info().rss)
            except psutil.Error:
                continue
    return not sizes or bool(psutil.virtual_memory().available > 1.2 * max(sizes))
