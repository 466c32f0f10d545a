"""Whole runs over fake runtimes in real worker processes: every way to fail is a row, kills lose a block at most."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.engine import Interrupted
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import PAPER, RIGOROUS, Protocol
from depthport.bench.plan.regime import Regime, parse_regime
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from depthport.bench.results.journal import Journal
from depthport.bench.results.journal_file import line_of
from depthport.bench.results.model import Results, Status
from depthport.bench.results.records import Eliminated, Header, Launch, VisitDone
from depthport.bench.results.regimes import FixedRateSummary
from depthport.bench.statistics.stopping import FEWEST_TO_STOP, FIRST_LOOK
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.store import ArtifactStore
from tests.support.fake_runtime import fake_artifact
from tests.support.requests import plan_of, request_for

SHAPE = Shape(1, 2, 14, 28)
FAST = replace(
    RIGOROUS, launches=2, budget_s=2.0, max_rounds=3, load_timeout_s=30.0, call_timeout_s=3.0, warmup_budget_s=0.3
)


def fake_cell(artifact: Path, fake: str, baseline: bool = False, **extra: object) -> CellSpec:
    return CellSpec(
        export=request_for(SHAPE),
        runtime=f"tests.support.fakes:{fake}",
        device="cpu",
        mode="plain",
        baseline=baseline,
        extra=extra,
        artifact=str(artifact),
        label=None if fake != "Fake" or baseline else json.dumps(extra, sort_keys=True),
    )


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return fake_artifact(tmp_path / "artifact", SHAPE).path


def plan(cells: list[CellSpec], protocol: Protocol = FAST) -> RunPlan:
    return plan_of(tuple(cells), load_scenes(SHAPE, sets=2), protocol, parity=False)


def run(the_plan: RunPlan, out: Path) -> Results:
    return engine.run(the_plan, out, ArtifactStore(out / "store"), Observer())


def test_every_way_to_fail_is_a_row_and_the_others_are_all_there(artifact: Path, tmp_path: Path) -> None:
    cells = [
        fake_cell(artifact, "Fake", baseline=True, call_ms=4),
        fake_cell(artifact, "Fake", call_ms=2),
        *(fake_cell(artifact, name) for name in ("Crasher", "Raiser", "Hanger", "OutOfMemory")),
        *(fake_cell(artifact, name) for name in ("NotANumber", "WrongShape")),
        fake_cell(artifact, "Lazy", call_ms=20),
        fake_cell(artifact, "SlowLoader", load_s=0.5),
        replace(fake_cell(artifact, "Fake", call_ms=9), unavailable="not on this machine"),
    ]
    # What the hanging call costs; and one visit a round, for one of them restarts all the others' workers at every visit.
    protocol = replace(FAST, load_timeout_s=12.0, order="random")
    results = run(plan(cells, protocol), tmp_path / "out")
    by_runtime = {cell.runtime.partition(":")[2]: cell for cell in results.cells if cell.runtime != cells[0].runtime}
    for name, status, words in [
        ("Crasher", Status.RUN_FAILED, "SIGSEGV"),
        ("Raiser", Status.RUN_FAILED, "the kernel refused"),
        ("Hanger", Status.TIMED_OUT, "took over"),
        ("OutOfMemory", Status.RUN_FAILED, "out of memory"),
        ("NotANumber", Status.RUN_FAILED, "NaN"),
        ("WrongShape", Status.RUN_FAILED, "the artifact has"),
        ("Lazy", Status.RUN_FAILED, "before the outputs were ready"),
        ("SlowLoader", Status.OK, ""),
    ]:
        cell = by_runtime[name]
        assert cell.status is status, (name, cell.status, cell.reason)
        assert words in (cell.reason or "")
    good = [cell for cell in results.cells if cell.runtime == cells[0].runtime]
    assert [cell.status for cell in good] == [Status.OK, Status.OK, Status.UNAVAILABLE]
    assert good[2].reason == "not on this machine"
    for cell in good[:2]:
        assert set(cell.timing) == {"device", "host"}
        assert cell.timing["device"].n >= 4
        assert cell.launches == 2
        assert cell.phases.load_s and cell.phases.first_call_ms
        assert cell.memory.host_peak_mib
    speedup = good[1].speedup["device"]
    assert speedup.ratio == pytest.approx(4 / 2, rel=0.5)
    assert (by_runtime["SlowLoader"].phases.load_s or 0.0) >= 0.5
    assert set(results.controls) == {"aa", "plus5"}
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert stored == json.loads(json.dumps(results.to_json()))
    # One cell ran out of memory, which may pass: the same command tries it once more, then it is final.
    assert not results.complete
    again = run(plan(cells, protocol), tmp_path / "out")
    assert again.complete
    assert {c.id: c.status for c in again.cells} == {c.id: c.status for c in results.cells}
    assert not (tmp_path / "out" / "work").exists()


def test_a_cell_that_has_surely_lost_is_timed_no_further(artifact: Path, tmp_path: Path) -> None:
    cells = [fake_cell(artifact, "Fake", call_ms=ms, baseline=ms == 9) for ms in (9, 2, 30)]
    the_plan = plan(cells, replace(FAST, budget_s=20.0, max_rounds=6, controls=False))
    baseline, leader, slow = run(the_plan, tmp_path / "out").cells
    journal = Journal(tmp_path / "out" / JOURNAL_NAME)
    (out,) = journal.of(Eliminated)
    assert (out.cell, out.launch) == (slow.id, 0) and out.round >= FIRST_LOOK - 1
    turns = [(e.cell, e.launch, e.round) for e in journal.of(VisitDone)]
    assert {(launch, number) for cell, launch, number in turns if cell == slow.id} == {(0, n) for n in range(out.round + 1)}
    assert {(launch, number) for cell, launch, number in turns if cell == leader.id} == {
        (launch, number) for launch in range(2) for number in range(6)
    }
    # It is not started again, and keeps the ratio that it had.
    assert [e.launch for e in journal.of(Launch) if e.cell == slow.id] == [0]
    assert slow.status is Status.OK and slow.speedup["device"].verdict == "slower"
    assert slow.speedup["device"].reason.endswith("timed no further once it had surely lost")
    assert baseline.timing["device"].n > slow.timing["device"].n


def test_a_run_ends_once_what_matters_is_known(artifact: Path, tmp_path: Path) -> None:
    cells = [fake_cell(artifact, "Fake", call_ms=ms, baseline=ms == 9) for ms in (9, 2)]
    the_plan = plan(cells, replace(FAST, budget_s=60.0, max_rounds=60, controls=False, target_half_width=1.0))
    assert run(the_plan, tmp_path / "out").complete
    journal = Journal(tmp_path / "out" / JOURNAL_NAME)
    assert {(e.launch, e.round) for e in journal.of(VisitDone)} == {(0, number) for number in range(FEWEST_TO_STOP)}


def test_the_paper_protocol_times_five_calls_after_two_warmups(artifact: Path, tmp_path: Path) -> None:
    cells = [fake_cell(artifact, "Fake", baseline=True, call_ms=3), fake_cell(artifact, "Fake", call_ms=30)]
    results = run(plan(cells, replace(PAPER, load_timeout_s=30.0)), tmp_path / "out")
    for cell in results.cells:
        assert cell.timing["device"].n == 5
        assert cell.phases.warmup_calls == 2
        assert cell.launches == 1
    assert results.controls == {}


def test_a_run_of_another_plan_is_not_gone_on_with(artifact: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / JOURNAL_NAME).write_bytes(line_of(Header(plan="another", epoch_s=0, created="")))
    with pytest.raises(UsageError, match="unfinished run with another configuration"):
        run(plan([fake_cell(artifact, "Fake", baseline=True)]), out)
    assert (out / JOURNAL_NAME).read_text().count("\n") == 1


def test_two_runs_into_one_folder(artifact: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(UsageError, match="another run is measuring"):
        run(plan([fake_cell(artifact, "Fake", baseline=True)]), out)


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl-C raises, also where the tests were started in a shell's background, which has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_keeps_what_was_measured_and_the_same_call_goes_on(artifact: Path, tmp_path: Path) -> None:
    cells = [fake_cell(artifact, "Fake", baseline=True, call_ms=4), fake_cell(artifact, "Fake", call_ms=2)]
    # Enough rounds that the third visit is far from the last on any machine.
    the_plan = plan(cells, replace(FAST, budget_s=6.0, max_rounds=60))
    out = tmp_path / "out"

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            journal = out / JOURNAL_NAME
            if journal.exists() and journal.read_text().count('"kind":"visit"') >= 3:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted, match="resumes"):
        run(the_plan, out)
    thread.join()
    first = json.loads((out / "results.json").read_text())
    assert first["complete"] is False
    before = (out / JOURNAL_NAME).read_text()
    results = run(the_plan, out)
    assert results.complete
    assert (out / JOURNAL_NAME).read_text().startswith(before)
    assert all(cell.status is Status.OK for cell in results.cells)


def test_a_fixed_rate_run_counts_deadlines(artifact: Path, tmp_path: Path) -> None:
    cells = [fake_cell(artifact, "Fake", baseline=True, call_ms=2), fake_cell(artifact, "Fake", call_ms=200)]
    the_plan = plan(cells)
    the_plan = replace(the_plan, request=replace(the_plan.request, regime=Regime("fixed-rate", 2.0, 10.0)))
    results = run(the_plan, tmp_path / "out")
    quick, slow = results.cells
    assert [(c.status, c.reason) for c in results.cells] == [(Status.OK, None)] * 2
    assert isinstance(quick.regime, FixedRateSummary) and quick.regime.frames == 20
    assert isinstance(slow.regime, FixedRateSummary) and slow.regime.missed >= 15
    assert slow.regime.missed > quick.regime.missed
    assert quick.timing == {} and results.controls == {}


@pytest.mark.parametrize(
    ("name", "minutes", "rate_hz", "words"),
    [
        ("often", None, None, "unknown regime"),
        ("burst", 5.0, None, "--minutes goes with"),
        ("sustained", 1.0, None, "at least"),
        ("sustained", None, 30.0, "sets the regime itself"),
        ("burst", None, -1.0, "above 0"),
        ("burst", None, float("nan"), "above 0"),
    ],
)
def test_impossible_regimes(name: str, minutes: float | None, rate_hz: float | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_regime(name, minutes, rate_hz)


def test_regimes() -> None:
    assert parse_regime("burst", None, None) is None
    assert parse_regime("sustained", None, None) == Regime("sustained", 600.0)
    assert parse_regime("burst", 0.5, 30.0) == Regime("fixed-rate", 30.0, 30.0)


def test_an_artifact_for_another_machine_is_rebuilt_or_a_row_with_the_reason(artifact: Path, tmp_path: Path) -> None:
    """Its format has no exporter here, so it can't be; the others go on."""
    cells = [fake_cell(artifact, "Fake", baseline=True, call_ms=1), fake_cell(artifact, "Bound")]
    good, bound = run(plan(cells, replace(FAST, launches=1, controls=False)), tmp_path / "out").cells
    assert good.status is Status.OK
    assert bound.status is not Status.OK and "'fake'" in (bound.reason or "")
