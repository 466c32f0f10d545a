"""Several results become one report: runs grouped by machine, rows by what they computed.

Two runs belong to one machine when their hardware is the same (see :attr:`Machine.key`). Where both measured
a cell, the newer one is the row and the older stays beside it as history, for `compare`; nothing is averaged
over runs, because two days are not one population. Ratios between machines are never formed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from depthport.bench.environment.identity import Machine, machine_of
from depthport.bench.report.model.bundles import check_bundles
from depthport.bench.results.load_results import ResultsFile, load_results
from depthport.bench.results.model import FROM_FILES, Cell, Results, RuntimeFacts, Status, is_control
from depthport.bench.results.runtime_facts import facts_of
from depthport.exporters.core.errors import UsageError

Source = Results | ResultsFile | Path | str


class Workload(NamedTuple):
    """Task that a cell computed. Latencies are comparable within one workload only."""

    model: str
    batch: int
    views: int
    height: int
    width: int
    weights: str
    from_files: bool = False
    """Timed from encoded photographs."""

    @property
    def label(self) -> str:
        """`da3-large, 5 views of 504×504` (height × width); B only where it is not 1, weights where they are synthetic."""
        views = f"{self.views} view" + ("s" if self.views != 1 else "")
        batch = f"{self.batch} scenes of " if self.batch != 1 else ""
        weights = f", {self.weights}" if self.weights.startswith("synthetic") else ""
        source = ", from encoded photographs" if self.from_files else ""
        return f"{self.model}, {batch}{views} of {self.height}×{self.width}{weights}{source}"

    @property
    def images(self) -> int:
        return self.batch * self.views


@dataclass(frozen=True)
class Run:
    """One results file on its machine."""

    results: Results
    folder: Path | None
    notes: tuple[str, ...]

    @property
    def created(self) -> str:
        """`2026-03-01 10:00 UTC`, or `undated`."""
        text = self.results.created
        if len(text) >= 16 and text[:4].isdigit() and text[4] == "-":
            return f"{text[:10]} {text[11:16]} UTC"
        return "undated"


@dataclass(frozen=True)
class Row:
    """One cell with the run it was measured in, and its older measurements on the same machine."""

    cell: Cell
    run: Run
    history: tuple[tuple[Run, Cell], ...] = ()

    @property
    def workload(self) -> Workload:
        return workload_of(self.cell)

    @property
    def ok(self) -> bool:
        return self.cell.status is Status.OK

    @property
    def runtime(self) -> RuntimeFacts:
        """Facts of the cell's runtime."""
        return facts_of(self.run.results, self.cell.runtime)


@dataclass(frozen=True)
class Group:
    """The rows of one workload on one machine: the unit in which latencies are ranked."""

    machine: Machine
    workload: Workload
    rows: tuple[Row, ...]

    @property
    def baseline(self) -> Row | None:
        return next((row for row in self.rows if row.cell.baseline), None)


@dataclass(frozen=True)
class MachineReport:
    """All runs of one machine, newest first, and their groups in the order met."""

    name: str
    machine: Machine
    runs: tuple[Run, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Report:
    """Data that both renderers read."""

    machines: tuple[MachineReport, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def groups(self) -> list[Group]:
        return [group for machine in self.machines for group in machine.groups]

    @property
    def synthetic(self) -> list[str]:
        """Names of the models whose weights are synthetic in any run."""
        names: dict[str, None] = {}
        for group in self.groups:
            if any(is_synthetic(row.run.results, row.cell) for row in group.rows):
                names[group.workload.model] = None
        return list(names)


def workload_of(cell: Cell) -> Workload:
    """The workload of a cell."""
    from_files = FROM_FILES in cell.tags
    return Workload(cell.model, cell.batch, cell.views, cell.height, cell.width, cell.weights, from_files)


def is_synthetic(results: Results, cell: Cell) -> bool:
    """Return whether a cell ran on synthetic weights; anything but a clear no in the file counts as yes."""
    info = results.weights.get(cell.model)
    return (info is not None and info.get("synthetic", True)) or cell.weights.startswith("synthetic:")


def merge(sources: Sequence[Source]) -> Report:
    """One report from one or many results.

    Raises:
        UsageError: `sources` is empty, or a file can't be read
        (:class:`~depthport.bench.results.load_results.ResultsError`), or two are of different suites of a fleet.
    """
    files = [_opened(source) for source in sources]
    if not files:
        raise UsageError("a report needs at least one results.json: name one or a folder that has one")
    strangers = check_bundles(files)
    by_machine: dict[tuple[str, ...], list[Run]] = {}
    for file in files:
        run = Run(file.results, file.folder, file.notes)
        # Machines that a fleet tells apart are two, however alike.
        named = file.results.bundle.machine if file.results.bundle else ""
        by_machine.setdefault((*machine_of(file.results.environment).key, named), []).append(run)
    names = _distinct_names(by_machine)
    machines = []
    for key, runs in by_machine.items():
        newest_first = sorted(runs, key=lambda r: r.results.created, reverse=True)
        machine = machine_of(newest_first[0].results.environment)
        machines.append(MachineReport(names[key], machine, tuple(newest_first), _groups(machine, newest_first)))
    return Report(tuple(machines), (*_notes(files), *strangers))


def _opened(source: Source) -> ResultsFile:
    if isinstance(source, ResultsFile):
        return source
    return ResultsFile(source) if isinstance(source, Results) else load_results(source)


def _distinct_names(keys: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """A machine's name, distinguished by CPU and memory where two machines have one accelerator, and as a fleet does."""
    keys = list(keys)
    names: dict[tuple[str, ...], str] = {}
    for key in keys:
        name, cpu, _, memory, named = key
        twins = [other for other in keys if other[0] == name]
        parts = [p for p in (named, cpu if cpu not in name else "", f"{memory} GiB" if memory else "") if p]
        names[key] = f"{name} ({', '.join(parts)})" if len(twins) > 1 and parts else name
    return names


def _groups(machine: Machine, runs: Sequence[Run]) -> tuple[Group, ...]:
    """Rows by workload; for a cell met in several runs the newest leads and the others are its history."""
    measured: dict[tuple[Workload, str], list[tuple[Run, Cell]]] = {}
    for run in runs:
        for cell in run.results.cells:
            if not is_control(cell.tags):
                measured.setdefault((workload_of(cell), cell.id), []).append((run, cell))
    groups: dict[Workload, list[Row]] = {}
    for (workload, _), found in measured.items():
        (run, cell), *older = found
        groups.setdefault(workload, []).append(Row(cell, run, tuple(older)))
    return tuple(Group(machine, workload, tuple(rows)) for workload, rows in groups.items())


def _notes(files: Sequence[ResultsFile]) -> list[str]:
    many = len(files) > 1
    return [f"file {i}: {note}" if many else note for i, file in enumerate(files, 1) for note in file.notes]
