"""Cells that are run only for what they compute: alone, once for every input, untimed, and resumable."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.limit import Limit
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.protocol import CHECK, Protocol
from depthport.bench.results.journal import NAME, Journal
from depthport.bench.results.model import Results, Status
from depthport.bench.results.records import Failed, Launch, SessionReport, TimedBlock
from depthport.exporters.core.store import ArtifactStore
from tests.bench.measure.test_engine import FAST, SHAPE, fake_cell
from tests.support.fake_runtime import fake_artifact
from tests.support.requests import plan_of

WHY = "for outputs, not for timing"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return fake_artifact(tmp_path / "artifact", SHAPE).path


def run(
    artifact: Path, out: Path, untimed: tuple[str, ...], protocol: Protocol, observer: Observer | None = None
) -> Results:
    cells = (
        fake_cell(artifact, "Fake", baseline=True, call_ms=2),
        *(replace(fake_cell(artifact, name, call_ms=2), numerics_only=WHY) for name in untimed),
    )
    cells = tuple(cell.untimed() for cell in cells) if protocol.untimed else cells
    the_plan = plan_of(cells, load_scenes(SHAPE, sets=protocol.inputs), protocol, parity=False)
    return engine.run(the_plan, out, ArtifactStore(out / "store"), observer or Observer())


def test_they_are_out_of_the_schedule_and_of_the_controls(artifact: Path, tmp_path: Path) -> None:
    results = run(artifact, tmp_path / "out", ("Fake", "Raiser", "Crasher"), replace(FAST, inputs=2, ground_truth_scenes=1))
    timed, untimed, raised, crashed = results.cells
    assert timed.timing and timed.launches == 2
    assert untimed.status is Status.OK and not (untimed.timing or untimed.speedup or untimed.rank or untimed.launches)
    assert untimed.accuracy is not None and untimed.placement is not None and untimed.memory.host_peak_mib
    assert (raised.status, crashed.status) == (Status.RUN_FAILED, Status.RUN_FAILED)
    journal = Journal(tmp_path / "out" / NAME)
    assert {e.cell for e in journal.of(Launch)} == {timed.id, f"{timed.id}/control-aa"}
    own = [e for e in journal.of(TimedBlock) if e.cell == untimed.id]
    assert [(e.input, e.device_ns, len(e.host_ns or ())) for e in own] == [(0, None, 1), (1, None, 1)]
    assert all(e.log is None for e in journal.of(Failed)), "only a check keeps what a process has printed"


class Stops(Observer):
    """Ctrl-C when a cell's turn comes."""

    def step(self, text: str, advance: float = 0) -> None:
        if text.endswith("plain/fp32") and "Raiser" in text:
            signal.raise_signal(signal.SIGINT)


def test_a_stopped_check_goes_on_with_what_is_missing(artifact: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(engine.Interrupted):
        run(artifact, out, ("Fake", "Raiser"), CHECK, Stops())
    results = run(artifact, out, ("Fake", "Raiser"), CHECK)
    assert [cell.status for cell in results.cells] == [Status.OK, Status.OK, Status.RUN_FAILED]
    assert results.cells[2].log and results.complete
    untimed = results.cells[1].id
    journal = Journal(out / NAME)
    assert len([e for e in journal.of(SessionReport) if e.cell == untimed]) == 1, "it was not computed a second time"


def test_a_limit() -> None:
    assert Limit(None).within(5.0) == 5.0 and not Limit(None).over()
    assert Limit(1000.0).within(5.0) == 5.0 and Limit(3.0).within(5.0) <= 3.0
    assert Limit(0.5).over() and not Limit(100.0).over()
