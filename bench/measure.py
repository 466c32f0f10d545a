"""Timed rounds: live workers, one active at a time, in mirrored or seeded random order, every block journaled.

A *launch* is one start of every worker; a *round* visits every cell twice (mirrored) or once (random); a visit runs one
*block* per boundary. Where the workers do not fit in memory together, they are started anew for each visit and the
results say so. Nothing here computes a statistic that is reported: bench/analysis.py does, from the journal.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cells import CellSpec
from bench.design import block_samples, block_warmups, warmup_rule
from bench.fleet import Calibration, CellFailed, LiveCell
from bench.journal import Journal
from bench.observer import Observer
from bench.protocol import Protocol
from bench.results import Status
from bench.schedule import Order, round_order
from bench.statistics import group_size
from bench.steady_state import steady_state
from bench.telemetry import Telemetry

# An extra synchronize between bind and run is hidden in calls longer than this many synchronizes (1e-3 each).
_BOTH_FACTOR = 1000
_BOTH_MIN_NS = 20_000_000


@dataclass(frozen=True)
class Timed:
    """A cell to be timed: what to load, and which delay (share of a call) to add, for the +5 % control."""

    spec: CellSpec
    artifact: Path
    shares_worker_with: str | None = None
    """Id of the cell whose worker runs this one's blocks too (the +5 % control)."""
    delay_share: float = 0.0


@dataclass
class _State:
    """What is known of a cell within one launch."""

    live: LiveCell
    calibration: Calibration | None = None
    call_ms: list[float] = field(default_factory=list)
    next_input: int = 0

    @property
    def call_ns(self) -> int:
        known = self.call_ms[-5:] or [self.calibration.call_ns / 1e6 if self.calibration else 1.0]
        return max(1, int(statistics.median(known) * 1e6))


class OutOfMemory(Exception):
    """The workers do not fit in memory together."""


class Measurement:
    """Runs the rounds of one run, resuming from what its journal already holds."""

    def __init__(
        self,
        cells: Sequence[Timed],
        inputs: list[Path],
        protocol: Protocol,
        journal: Journal,
        work: Path,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._cells = {cell.spec.id: cell for cell in cells}
        self._inputs = inputs
        self._protocol = protocol
        self._journal = journal
        self._work = work
        self._observer = observer
        self._clock = clock
        self._telemetry = Telemetry()
        self._states: dict[str, _State] = {}
        self._relaunch = any(e.get("relaunch") for e in journal.of_kind("residency"))
        self._failed = {e["cell"] for e in journal.of_kind("failed")}
        self._saved: set[tuple[str, int]] = {
            (e["cell"], e["input"]) for e in journal.of_kind("block") if e.get("outputs")
        }

    def run(self, enough: Callable[[], bool]) -> None:
        """Measure until every launch has used its share of the budget or `enough()` says the intervals are narrow."""
        try:
            for launch in range(self._protocol.launches):
                if self._launch_done(launch):
                    continue
                self._observer.stage(
                    f"warming up, launch {launch + 1} of {self._protocol.launches}", len(self._alive())
                )
                self._start(launch)
                if not self._alive():
                    return
                self._observer.stage(f"measuring, launch {launch + 1} of {self._protocol.launches}")
                self._rounds(launch, enough)
                self._finish(launch)
                if enough():
                    return
        finally:
            self._telemetry.close()
            self._close_all()

    def _alive(self) -> list[str]:
        return [cell for cell in self._cells if self._owner(cell) not in self._failed and cell not in self._failed]

    def _owner(self, cell: str) -> str:
        return self._cells[cell].shares_worker_with or cell

    def _launch_done(self, launch: int) -> bool:
        return any(e["launch"] == launch for e in self._journal.of_kind("launch_done"))

    # -- starting -----------------------------------------------------------------------------------------------

    def _start(self, launch: int) -> None:
        if self._relaunch:
            return
        try:
            for cell in self._alive():
                if self._cells[cell].shares_worker_with:
                    continue
                if not _room_for_one_more(self._states):
                    raise OutOfMemory
                self._observer.step(f"{cell}: loading and warming up", 1)
                try:
                    self._states[cell] = self._launch_cell(cell, launch)
                except CellFailed as failure:
                    if _is_memory(failure) and self._states:
                        raise OutOfMemory from failure
                    self._fail(cell, failure)
        except OutOfMemory:
            self._relaunch = True
            self._close_all()
            self._journal.append("residency", {"relaunch": True})
            self._observer.note("the workers do not fit in memory together: each is started anew for every visit")

    def _launch_cell(self, cell: str, launch: int) -> _State:
        """Start one worker and warm it up; all its calls are journaled as warm-up samples."""
        timed = self._cells[cell]
        live = LiveCell(timed.spec, timed.artifact, self._inputs, self._protocol)
        try:
            started = self._clock()
            live.load()
            first_ms = live.first_call()
            calibration = live.calibrate()
            state = _State(live, calibration, [calibration.call_ns / 1e6])
            warm = self._warm_up(state, first_ms)
        except CellFailed:
            live.close()
            raise
        self._journal.append(
            "launch",
            {
                "cell": cell,
                "launch": launch,
                "started_s": started,
                "load_s": live.load_s,
                "first_call_ms": first_ms,
                "call_ns": calibration.call_ns,
                "enqueue_ns": calibration.enqueue_ns,
                "sync_ns": calibration.sync_ns,
                "fetch_ns": calibration.fetch_ns,
                "warmup_ms": warm,
                "steady": _is_steady([calibration.call_ns / 1e6, *warm]),
            },
        )
        return state

    def _warm_up(self, state: _State, first_ms: float) -> list[float]:
        """Call until two windows agree, or the warm-up's budget or count is used; returns ms of each call after the
        calibration's (which is the second call of the process)."""
        protocol = self._protocol
        calls: list[float] = []
        spent_s = (first_ms + state.call_ms[0]) / 1e3
        while 2 + len(calls) < protocol.warmup_calls or (
            protocol.timed_calls is None and not _is_steady(state.call_ms)
        ):
            if 2 + len(calls) >= 2 and spent_s > protocol.warmup_budget_s:
                break
            samples = block_samples(state.call_ns / 1e9)
            if protocol.timed_calls is not None:
                samples = protocol.warmup_calls - 2 - len(calls)
            reply = state.live.block(
                {"boundary": "device", "calls": 1, "samples": samples, "first_input": state.next_input},
                samples * state.call_ns / 1e9,
            )
            state.next_input += samples
            new = [ns / 1e6 for ns in reply["device_ns"]]
            calls += new
            state.call_ms += new
            spent_s += sum(new) / 1e3
        return calls

    # -- rounds -------------------------------------------------------------------------------------------------

    def _rounds(self, launch: int, enough: Callable[[], bool]) -> None:
        protocol = self._protocol
        budget_s = protocol.budget_s / protocol.launches
        done = {(e["round"], e["visit"]) for e in self._journal.of_kind("visit") if e["launch"] == launch}
        used_s = sum(e["wall_s"] for e in self._journal.of_kind("visit") if e["launch"] == launch)
        for number in range(protocol.max_rounds):
            plan = self._turns(launch, number)
            before_s = used_s
            for visit, cell in enumerate(plan):
                if (number, visit) in done or cell not in self._alive():
                    continue
                self._observer.step(f"round {number + 1}: {cell}")
                began = time.monotonic()
                try:
                    self._visit(cell, launch, number, visit)
                except CellFailed as failure:
                    self._fail(self._owner(cell), failure)
                used_s += time.monotonic() - began
                self._observer.budget(used_s, budget_s)
            if not self._alive():
                return
            # Another round as long as this one must still fit in the budget.
            spent = used_s + (used_s - before_s) > budget_s
            narrow = protocol.launches == 1 and enough()
            if number + 1 >= protocol.min_rounds and (spent or narrow):
                return

    def _turns(self, launch: int, number: int) -> Sequence[str]:
        """The order in which cells take turns in a round; a pure function of the plan, so a resumed run agrees."""
        cells = list(self._cells)
        if self._protocol.order == "sequential":
            return cells
        return round_order(cells, Order(self._protocol.order), self._protocol.seed, launch, number)

    def _visit(self, cell: str, launch: int, number: int, visit: int) -> None:
        timed = self._cells[cell]
        owner = self._owner(cell)
        state = self._states.get(owner)
        if state is None:
            state = self._launch_cell(owner, launch)
            if not self._relaunch:
                self._states[owner] = state
        began = time.monotonic()
        try:
            parked = self._telemetry.before([s.live.pid for o, s in self._states.items() if o != owner])
            for request in self._requests(state, timed):
                first_input = state.next_input
                save = self._save_path(cell, (first_input + request["samples"] - 1) % len(self._inputs))
                if save is not None:
                    request["save_outputs"] = str(save)
                started = self._clock()
                reply = state.live.block(request, request["samples"] * request["calls"] * state.call_ns / 1e9)
                state.next_input += request["samples"]
                for name in ("device_ns", "host_ns"):
                    if name in reply:
                        state.call_ms += [ns / request["calls"] / 1e6 for ns in reply[name]]
                origin = reply["starts_ns"][0]
                self._journal.append(
                    "block",
                    {
                        "cell": cell,
                        "launch": launch,
                        "round": number,
                        "visit": visit,
                        "calls": request["calls"],
                        "device_ns": reply.get("device_ns"),
                        "host_ns": reply.get("host_ns"),
                        "starts_s": [round(started + (s - origin) / 1e9, 6) for s in reply["starts_ns"]],
                        "input": reply["input"],
                        "outputs_sha256": reply["outputs_sha256"],
                        "outputs": save.name if save is not None else None,
                        "event_ms": reply.get("event_ms"),
                    },
                )
                if save is not None:
                    self._saved.add((cell, reply["input"]))
            telemetry = self._telemetry.after(parked, state.live.pid)
        finally:
            if self._relaunch:
                self._report(owner, state, launch)
                state.live.close()
        self._journal.append(
            "visit",
            {
                "cell": cell,
                "launch": launch,
                "round": number,
                "visit": visit,
                "wall_s": time.monotonic() - began,
                "telemetry": telemetry,
            },
        )

    def _requests(self, state: _State, timed: Timed) -> list[dict[str, Any]]:
        """The blocks of one visit: one that gives both boundaries where calls are long, else one for each."""
        protocol = self._protocol
        calibration = state.calibration
        assert calibration is not None
        call_ns = state.call_ns
        # A delayed call waits for its own end: grouped calls each gain a synchronize, which is part of the delay.
        delay_ns = max(0, int(timed.delay_share * call_ns) - calibration.sync_ns) if timed.delay_share else 0
        both = call_ns >= _BOTH_MIN_NS and call_ns >= _BOTH_FACTOR * calibration.sync_ns
        grouped = group_size(call_ns, calibration.sync_ns + _CLOCK_NS, protocol.overhead_target)
        requests: list[dict[str, Any]] = []
        for boundary, calls in [("both", 1)] if both else [("device", grouped), ("host", 1)]:
            samples = block_samples(calls * call_ns / 1e9)
            if protocol.timed_calls is not None:
                calls, samples = 1, protocol.timed_calls
            settle = 0 if protocol.timed_calls is not None else block_warmups(call_ns / 1e9)
            requests.append(
                {
                    "boundary": boundary,
                    "calls": calls,
                    "samples": samples,
                    "settle": settle,
                    "delay_ns": delay_ns,
                    "first_input": state.next_input,
                }
            )
        for number, request in enumerate(requests):
            request["first_input"] = state.next_input + number * requests[0]["samples"]
        return requests

    def _save_path(self, cell: str, index: int) -> Path | None:
        """Where a block's last outputs go, if this cell's outputs for that input are not kept yet."""
        if (cell, index) in self._saved or self._cells[cell].shares_worker_with:
            return None
        return self._work / f"outputs-{list(self._cells).index(cell)}-{index}.npz"

    # -- ending -------------------------------------------------------------------------------------------------

    def _finish(self, launch: int) -> None:
        for cell, state in list(self._states.items()):
            self._report(cell, state, launch)
        self._close_all()
        self._journal.append("launch_done", {"launch": launch})

    def _report(self, cell: str, state: _State, launch: int) -> None:
        try:
            self._journal.append("report", {"cell": cell, "launch": launch, **state.live.report()})
        except CellFailed as failure:
            self._fail(cell, failure)

    def _fail(self, cell: str, failure: CellFailed) -> None:
        state = self._states.pop(cell, None)
        if state is not None:
            state.live.close()
        self._failed.add(cell)
        self._journal.append("failed", {"cell": cell, "status": failure.status.value, "reason": failure.reason})
        self._observer.warning(f"{cell}: {failure.status.value}: {failure.reason}")

    def _close_all(self) -> None:
        for state in self._states.values():
            state.live.close()
        self._states.clear()


def _is_steady(call_ms: Sequence[float]) -> bool:
    """Whether the calls so far end in a steady state, by the windows that suit how long a call takes."""
    rule = warmup_rule(statistics.median(call_ms) / 1e3)
    return steady_state(call_ms, rule.window, rule.tolerance) is not None


_CLOCK_NS = 100  # two reads of perf_counter_ns, generously


def _is_memory(failure: CellFailed) -> bool:
    text = failure.reason.lower()
    return "out of memory" in text or (failure.status is Status.LOAD_FAILED and "sigkill" in text)


def _room_for_one_more(states: dict[str, _State]) -> bool:
    """Whether another worker as large as the largest so far would still fit in this machine's memory."""
    import psutil

    sizes = []
    for state in states.values():
        if state.live.pid is not None:
            try:
                sizes.append(psutil.Process(state.live.pid).memory_info().rss)
            except psutil.Error:
                continue
    if not sizes:
        return True
    return bool(psutil.virtual_memory().available > 1.2 * max(sizes))
