"""End short runs at random moments, again and again, by every signal, and show that nothing measured is lost.

    python -m tests.support.trials.kills --sigkills 200 --signals 40

What is hit, in turn: the manager of a run, a worker that measures, a worker that exports. After each:

* the journal only grew, and nothing in it is damaged: no finished block is lost;
* `results.json`, where there is one, is whole;
* what the store shows as an artifact has every hash right;
* a second after the manager ended none of its processes lives;
* a signal that asks to end gave the shell's exit code, and results of what was measured.

The same command then goes on; whenever a run finishes, the next starts from nothing. The exporter and the runtimes are
fakes, the processes, pipes, locks and files are real.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.measure.signals import exit_code_of, stop_on_signals
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import RIGOROUS
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from depthport.bench.results.journal_file import parse
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import DepthportError
from depthport.exporters.core.store import ArtifactStore
from tests.support.fake_exporter import FORMAT, SLOW_FORMAT
from tests.support.requests import plan_of, request_for
from tests.support.trials.processes import ended, marked, read, wait

SHAPE = Shape(1, 2, 14, 28)
PROTOCOL = replace(
    RIGOROUS, launches=1, budget_s=4.0, max_rounds=6, load_timeout_s=12.0, call_timeout_s=2.0, warmup_budget_s=0.1
)
MARK = "DEPTHPORT_KILLS"
"""In the environment of a trial's processes: how they are found, whoever started them."""
LONGEST_S = 60.0
SETTLE_S = 1.0


def short_plan() -> RunPlan:
    """Two cells over one export and one over another, which is made after a first ranking: seconds, with real processes."""

    def cell(call_ms: float, label: str | None, format: str = FORMAT) -> CellSpec:
        runtime = "tests.support.fake_exporter:RunsExported"
        extra = {"call_ms": call_ms}
        export, baseline = request_for(SHAPE, format), label is None
        return CellSpec(export, runtime, "cpu", "plain", baseline=baseline, label=label, extra=extra)

    cells = (cell(2, None), cell(1, "other"), cell(1, "late", SLOW_FORMAT))
    return plan_of(cells, load_scenes(SHAPE, sets=2), PROTOCOL, parity=False)


@dataclass(frozen=True)
class Blow:
    """What is done to a run."""

    signal: signal.Signals
    target: str
    """`manager`, or the module of a worker: `worker`, `export_worker`."""

    @property
    def ends_the_run(self) -> bool:
        return self.target == "manager"


SIGKILLS = tuple(Blow(signal.SIGKILL, target) for target in ("manager", "manager", "worker", "export_worker"))
OTHERS = (
    *(Blow(number, "manager") for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)),
    Blow(signal.SIGTERM, "worker"),
    Blow(signal.SIGTERM, "export_worker"),
    Blow(signal.SIGSTOP, "worker"),
    Blow(signal.SIGSEGV, "worker"),
)


@dataclass
class Ledger:
    """What happened, and what must not have."""

    blows: Counter[str] = field(default_factory=Counter)
    runs_finished: int = 0
    entries_kept: int = 0
    lost: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    slowest_end_s: float = 0.0
    """Longest until the last process was gone, where one outlived its manager."""


class Trials:
    """Runs in one folder, one after the other, each resumed until it is finished."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.out, self.store = folder / "out", folder / "store"
        self._log = folder / "log.txt"
        self._random = random.Random(seed)
        self._plan = short_plan()
        self._journal = b""
        self.ledger = Ledger()

    def blow(self, blow: Blow, longest_s: float = 6.0) -> None:
        """Start or resume the run, kill it at a random moment, look at what is left."""
        mark = uuid.uuid4().hex
        manager = self._start(mark)
        struck = self._strike(blow, manager, mark, self._random.uniform(0.0, longest_s))
        code = wait(manager, LONGEST_S)
        self._look_for_orphans(mark, blow)
        self._look_at_files(blow)
        if struck:
            self.ledger.blows[f"{blow.signal.name} {blow.target}"] += 1
            self._look_at_exit(blow, code)
        if self._finished():
            self._begin_anew()

    def finish(self) -> None:
        """Go on until the run is finished."""
        while not self._finished():
            mark = uuid.uuid4().hex
            code = wait(self._start(mark), LONGEST_S)
            if code != 0:
                self.ledger.lost.append(f"the run does not finish: {code}: {self._log.read_text()[-300:]}")
                return
        self._begin_anew()

    def _start(self, mark: str) -> int:
        """The manager as a copy of this process, which has imported everything: its pid."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.setsid()
            os.environ[MARK] = mark
            with self._log.open("wb") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            stop_on_signals()
            engine.run(self._plan, self.out, ArtifactStore(self.store), Observer())
            code = 0
        except DepthportError as error:
            os.write(2, f"{error}\n".encode())
            code = error.exit_code
        except KeyboardInterrupt as stop:
            code = exit_code_of(stop)
        except BaseException:  # noqa: BLE001 - whatever it is, the trial has to say it
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def _strike(self, blow: Blow, manager: int, mark: str, after_s: float) -> bool:
        """Send the signal after some time; False where what it is for had not begun or was over."""
        deadline = time.monotonic() + after_s
        while time.monotonic() < deadline:
            if ended(manager):
                return False
            time.sleep(0.01)
        target = manager if blow.target == "manager" else self._worker(blow.target, mark, manager)
        if target is None or ended(manager):
            return False
        with suppress(ProcessLookupError):
            os.kill(target, blow.signal)
            return True
        return False

    def _worker(self, module: str, mark: str, manager: int) -> int | None:
        """A worker of that kind, waited for until there is one or the run is over."""
        wanted = f"depthport.bench.workers.{module}"
        while not ended(manager):
            found = [pid for pid in marked(MARK, mark) if wanted in read(f"/proc/{pid}/cmdline").replace("\0", " ").split()]
            if found:
                return self._random.choice(found)
            time.sleep(0.01)
        return None

    def _look_for_orphans(self, mark: str, blow: Blow) -> None:
        began = time.monotonic()
        while (left := marked(MARK, mark)) and time.monotonic() - began < SETTLE_S:
            time.sleep(0.01)
            self.ledger.slowest_end_s = max(self.ledger.slowest_end_s, time.monotonic() - began)
        for pid in left:
            self.ledger.orphans.append(f"{blow.signal.name} {blow.target}: {read(f'/proc/{pid}/cmdline')}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _look_at_files(self, blow: Blow) -> None:
        what = f"{blow.signal.name} {blow.target}"
        path = self.out / JOURNAL_NAME
        content = path.read_bytes() if path.exists() else b""
        found = parse(content)
        if not content.startswith(self._journal) or found.damaged:
            self.ledger.lost.append(f"{what}: the journal lost entries or is damaged")
        self._journal = b"".join(found.lines)
        self.ledger.entries_kept += len(found.records)
        results = self.out / "results.json"
        try:
            if results.exists():
                json.loads(results.read_text())
            for artifact in ArtifactStore(self.store).artifacts():
                artifact.verify()
            visible = [p for p in self.store.glob("*") if not p.name.startswith(".")]
            if len(visible) != len(list(ArtifactStore(self.store).artifacts())):
                self.ledger.lost.append(f"{what}: the store lists something that is not an artifact")
        except (ValueError, DepthportError) as error:
            self.ledger.lost.append(f"{what}: {error}")

    def _look_at_exit(self, blow: Blow, code: int) -> None:
        said = self._log.read_text(errors="replace")
        what = f"{blow.signal.name} {blow.target}: exit code {code}: {said[-400:]}"
        if "Traceback" in said:
            self.ledger.lost.append(what)
        elif not blow.ends_the_run:
            # A worker that died is a row with a reason; the run goes on.
            if code != 0:
                self.ledger.lost.append(what)
        elif blow.signal is not signal.SIGKILL:
            # It may have come before the run listened, or after its end.
            if code not in (128 + blow.signal, -blow.signal, 0) or said.count("\n") > 1:
                self.ledger.lost.append(what)
            elif code > 0 and b'"kind":"block"' in self._journal and not (self.out / "results.json").exists():
                self.ledger.lost.append(f"{what}: no results of what was measured")

    def _finished(self) -> bool:
        return b'"kind":"finished"' in self._journal_now()

    def _journal_now(self) -> bytes:
        path = self.out / JOURNAL_NAME
        return path.read_bytes() if path.exists() else b""

    def _begin_anew(self) -> None:
        if json.loads((self.out / "results.json").read_text())["complete"] is not True:
            self.ledger.lost.append("a finished run's results say that it was stopped")
        self.ledger.runs_finished += 1
        shutil.rmtree(self.out)
        shutil.rmtree(self.store, ignore_errors=True)  # where the export was hit, there is none
        self._journal = b""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigkills", type=int, default=200)
    parser.add_argument("--signals", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), arguments.seed)
        for wanted, blows in ((arguments.sigkills, SIGKILLS), (arguments.signals, OTHERS)):
            struck, turn = trials.ledger.blows.total() + wanted, 0
            while trials.ledger.blows.total() < struck:
                trials.blow(blows[turn % len(blows)])
                turn += 1
                print(f"\r{trials.ledger.blows.total()} blows", end="", file=sys.stderr, flush=True)
        trials.finish()
        ledger = trials.ledger
    print()
    for what, count in sorted(ledger.blows.items()):
        print(f"{count:4d} × {what}")
    print(
        f"{ledger.runs_finished} runs finished after them, {ledger.entries_kept} journal entries looked at; lost:"
        f" {len(ledger.lost)}, alive after {SETTLE_S:g} s: {len(ledger.orphans)} (longest {ledger.slowest_end_s:.2f} s)"
    )
    for line in (*ledger.lost, *ledger.orphans):
        print(line)
    sys.exit(bool(ledger.lost or ledger.orphans))


if __name__ == "__main__":
    main()
