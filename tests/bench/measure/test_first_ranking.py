"""The ranking shown while slow exports are left: its workers stay, its rounds do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from depthport.bench.measure import engine, exports, first_ranking
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.measure.run_length import repeatable_launch_s, started_s
from depthport.bench.plan.protocol import PAPER
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Status
from depthport.bench.results.records import ArtifactReady, Launch, TimedBlock
from depthport.exporters.core.store import ArtifactStore
from tests.support.requests import plan_of, request_for
from tests.support.trials.kills import PROTOCOL, SHAPE, short_plan

NOTE = "this first ranking is no part of the results"


class Told(Observer):
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, name: str, steps: int | None = None) -> None:
        self.lines.append(name)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def begins(self, start: str) -> list[int]:
        return [index for index, line in enumerate(self.lines) if line.startswith(start)]


def run(plan: RunPlan, folder: Path, told: Told | None = None) -> tuple[Told, list[Launch]]:
    """A run into `folder`, of which every cell is all right; what it said, and the starts it journaled."""
    told = told or Told()
    results = engine.run(plan, folder / "out", ArtifactStore(folder / "store"), told)
    assert [cell.status for cell in results.cells] == [Status.OK] * len(plan.cells)
    return told, Journal(folder / "out" / JOURNAL_NAME).of(Launch)


def test_it_comes_before_the_slow_exports_and_its_workers_are_not_started_again(tmp_path: Path) -> None:
    plan = short_plan()
    told, launches = run(plan, tmp_path)
    (shown,), (late,), ranked = told.begins("a first ranking, before an "), told.begins(NOTE), told.begins("so far: ")
    first, second = told.begins("exporting")
    assert first < shown < ranked[0] < late < second and plan.cells[1].id in told.lines[ranked[0]]
    started = [e.cell for e in launches if "control" not in e.cell]
    assert sorted(started) == sorted(cell.id for cell in plan.cells)
    # Nothing of it is in the journal: no block is from before the last artifact.
    records = Journal(tmp_path / "out" / JOURNAL_NAME).records
    kinds = [type(record) for record in records]
    assert kinds.index(TimedBlock) > max(i for i, kind in enumerate(kinds) if kind is ArtifactReady) > kinds.index(Launch)


def test_none_where_all_is_cached(tmp_path: Path) -> None:
    plan = short_plan()
    run(plan, tmp_path)
    told, launches = run(plan, tmp_path)  # another run: the finished one is put aside
    assert not told.begins("a first ranking") and not told.begins(NOTE) and launches


@pytest.mark.parametrize("what", ["sequential", "no baseline", "nothing to compare"])
def test_none_where_there_is_nothing_to_rank(what: str, tmp_path: Path) -> None:
    plan, protocol = short_plan(), PROTOCOL
    cells = list(plan.cells)
    if what == "sequential":
        protocol = replace(PAPER, load_timeout_s=30.0)
    elif what == "no baseline":
        cells = cells[1:]
    else:
        del cells[1]
    told, _ = run(plan_of(tuple(cells), plan.scenes, protocol, parity=False), tmp_path)
    assert not told.begins("a first ranking") and not told.begins(NOTE)


def test_a_format_that_is_not_here_is_a_row(tmp_path: Path) -> None:
    plan = short_plan()
    gone = replace(plan.cells[1], export=request_for(SHAPE, "none-such"), label="gone")
    asked = plan_of((*plan.cells[:2], gone), plan.scenes, PROTOCOL, parity=False)
    found = engine.run(asked, tmp_path / "out", ArtifactStore(tmp_path / "store"), Told()).cells
    assert [cell.status for cell in found] == [Status.OK, Status.OK, Status.EXPORT_FAILED]
    assert "'none-such'" in (found[2].reason or "")


def test_no_rounds_where_they_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_ranking, "SHARE", 1e-6)
    told, launches = run(short_plan(), tmp_path)
    assert told.begins("a first ranking") and not told.begins(NOTE)
    assert sorted(e.cell for e in launches if "control" not in e.cell) == sorted(cell.id for cell in short_plan().cells)


def test_a_handful_of_cells_at_most_and_the_baseline_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_ranking, "MOST_CELLS", 2)
    quick = short_plan().cells
    cells = [replace(quick[1], label=f"other {number}") for number in range(3)] + [quick[0], quick[2]]
    told, _ = run(plan_of(tuple(cells), short_plan().scenes, PROTOCOL, parity=False), tmp_path)
    assert told.lines[told.begins("so far: ")[0]].count("×") == 1


def test_workers_make_room_for_exports_that_may_need_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "free_memory_mib", lambda: 1.0)
    told, launches = run(short_plan(), tmp_path)
    assert told.begins(NOTE)
    assert {e.launch for e in launches} == {0}
    assert [e.cell for e in launches].count(short_plan().cells[0].id) == 2
    # The run's budget is charged with a start of each.
    last = {e.cell: repeatable_launch_s(e) for e in launches}
    assert started_s(Journal(tmp_path / "out" / JOURNAL_NAME), 0) == pytest.approx(sum(last.values()))


def workers() -> list[psutil.Process]:
    """Processes of cells that live now."""
    return [child for child in psutil.Process().children() if "depthport.bench.workers.worker" in child.cmdline()]


def test_a_worker_that_died_meanwhile_is_started_again(tmp_path: Path) -> None:
    class Killer(Told):
        def note(self, text: str) -> None:
            super().note(text)
            if text.startswith(NOTE):
                workers()[0].kill()

    _, launches = run(short_plan(), tmp_path, Killer())
    started = [e.cell for e in launches if "control" not in e.cell]
    assert len(started) == len(set(started)) + 1 == 4


def test_nothing_is_said_of_a_ranking_that_failed(tmp_path: Path) -> None:
    class Killer(Told):
        killed = False

        def step(self, text: str, advance: float = 0) -> None:
            if text.startswith("round 1") and not self.killed:
                self.killed = True
                for worker in workers():
                    worker.kill()

    told = Killer()
    engine.run(short_plan(), tmp_path / "out", ArtifactStore(tmp_path / "store"), told)
    assert told.killed and told.begins("a first ranking") and not told.begins(NOTE)


def test_a_run_that_is_stopped_after_it_ends_its_workers_and_does_not_repeat_it(tmp_path: Path) -> None:
    class Stopper(Told):
        def note(self, text: str) -> None:
            super().note(text)
            if text.startswith(NOTE):
                assert len(workers()) == 2
                raise KeyboardInterrupt

    with pytest.raises(engine.Interrupted):
        run(short_plan(), tmp_path, Stopper())
    assert not workers()
    told, _ = run(short_plan(), tmp_path)
    assert not told.begins("a first ranking")
