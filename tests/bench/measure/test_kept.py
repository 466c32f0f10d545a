"""What a run keeps: of itself when it is stopped or its disk is damaged, of the runs that were there before."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from depthport.bench.measure import engine
from depthport.bench.measure.engine import Interrupted
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.measure.signals import Stopped
from depthport.bench.plan.protocol import RIGOROUS
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from depthport.bench.results.model import Status
from depthport.bench.workers.live_cell import LiveCell
from depthport.exporters.core.errors import StorageError, UsageError
from depthport.exporters.core.store import ArtifactStore
from tests.bench.measure.test_engine import FAST, SHAPE, fake_cell, plan, run
from tests.support.fake_runtime import fake_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return fake_artifact(tmp_path / "artifact", SHAPE).path


def other_plan(artifact: Path) -> RunPlan:
    return plan([fake_cell(artifact, "Fake", baseline=True, call_ms=7)], QUICKEST)


QUICKEST = replace(FAST, launches=1, budget_s=0.3, max_rounds=1, controls=False)


@pytest.mark.parametrize("left", ["finished run", "results without a journal"])
def test_what_another_run_left_is_overwritten_only_where_asked_and_kept_aside(
    artifact: Path, tmp_path: Path, left: str
) -> None:
    out = tmp_path / "out"
    run(plan([fake_cell(artifact, "Fake", baseline=True)], QUICKEST), out)
    if left != "finished run":
        (out / JOURNAL_NAME).unlink()
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match="give --overwrite to put it aside"):
        run(other_plan(artifact), out)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    results = engine.run(other_plan(artifact), out, ArtifactStore(out / "store"), Observer(), overwrite=True)
    assert results.complete
    for name, content in before.items():
        path = out / name
        assert path.with_name(f"{path.stem}-previous{path.suffix}").read_bytes() == content


def test_the_same_command_after_a_finished_run_keeps_the_one_before(artifact: Path, tmp_path: Path) -> None:
    first = run(other_plan(artifact), tmp_path / "out")
    run(other_plan(artifact), tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "results-previous.json").read_text())
    assert kept == json.loads(json.dumps(first.to_json()))


def test_a_damaged_entry_is_said_and_measured_again(artifact: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(other_plan(artifact), out)
    journal = out / JOURNAL_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"finished"' not in line]
    visit = next(i for i, line in enumerate(kept) if b'"kind":"visit"' in line)
    kept[visit] = kept[visit].replace(b'"kind":"visit"', b'"kind":"visir"')
    journal.write_bytes(b"".join(kept))
    said: list[str] = []

    class Listening(Observer):
        def warning(self, text: str) -> None:
            said.append(text)

    results = engine.run(other_plan(artifact), out, ArtifactStore(out / "store"), Listening())
    assert results.complete and results.cells[0].status is Status.OK
    assert any("1 of " in text and "damaged on disk" in text for text in said)
    assert (out / "journal-damaged-1.jsonl").read_bytes() == b"".join(kept)


@pytest.mark.parametrize("place", ["a file", "/proc/nowhere", "/dev/null"])
def test_where_nothing_can_be_written_nothing_is_begun(artifact: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_text("in the way")
    out = Path(place) / "out" if place.startswith("/") else tmp_path / place
    with pytest.raises(StorageError, match="can't write to"):
        run(other_plan(artifact), out)
    assert (tmp_path / "a file").read_text() == "in the way"


def test_stopped_before_the_first_sample_no_cell_has_failed(artifact: Path, tmp_path: Path) -> None:
    class Impatient(Observer):
        def stage(self, name: str, steps: int | None = None) -> None:
            if name.startswith("warming up"):
                raise Stopped(signal.SIGTERM)

    out = tmp_path / "out"
    with pytest.raises(Interrupted) as stopped:
        engine.run(other_plan(artifact), out, ArtifactStore(out / "store"), Impatient())
    assert stopped.value.exit_code == 143
    (cell,) = json.loads((out / "results.json").read_text())["cells"]
    assert (cell["status"], cell["reason"]) == ("not_measured", "the run was stopped before it")
    assert run(other_plan(artifact), out).cells[0].status is Status.OK


def test_a_closed_terminal_costs_no_measurement(artifact: Path, tmp_path: Path) -> None:
    class Deaf(Observer):
        def stage(self, name: str, steps: int | None = None) -> None:
            raise OSError(5, "Input/output error")

        warning = note = step = stage  # type: ignore[assignment]

    out = tmp_path / "out"
    assert engine.run(other_plan(artifact), out, ArtifactStore(out / "store"), Deaf()).complete


def test_a_hung_worker_is_noticed_by_what_calls_took(artifact: Path, tmp_path: Path) -> None:
    """The protocols themselves wait half a minute, not ten: 2000 times a call of 15 ms."""
    live = LiveCell(fake_cell(artifact, "Fake"), artifact, [], RIGOROUS)
    assert live._limit_s(0.015) == 30.0
    assert live._limit_s(60.0) == 600.0
