"""Evidence on a run's cells, read from its journal."""

from __future__ import annotations

from collections.abc import Sequence

from depthport.bench.analysis import quota
from depthport.bench.analysis.samples import calmest, cell_samples
from depthport.bench.environment.telemetry_summary import machine_facts
from depthport.bench.plan.cells import CellSpec
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Boundary, Speedup
from depthport.bench.results.records import (
    ArtifactReady,
    Eliminated,
    Failed,
    GroundTruthOutputs,
    Launch,
    RegimeDone,
    Residency,
    SessionReport,
    TimedBlock,
    VisitDone,
)
from depthport.bench.statistics.figures import percent
from depthport.bench.statistics.samples import CellSamples
from depthport.bench.statistics.verdict import ratio
from depthport.runtimes.terms import first_device

WAITED_SHARE = 0.02
"""Mean share of its blocks' time spent waiting for a CPU from which a run's ratios are of calm times: a quiet machine's own
scheduling stays below it (measured: 0.005 to 0.013)."""


class Evidence:
    """A journal's entries, indexed for the questions asked of them."""

    def __init__(self, journal: Journal) -> None:
        self.blocks = journal.of(TimedBlock)
        self.launches = journal.of(Launch)
        self.reports = journal.of(SessionReport)
        self.visits = journal.of(VisitDone)
        self.truth = journal.of(GroundTruthOutputs)
        self.regimes = {e.cell: e for e in journal.of(RegimeDone)}
        self.failed = {e.cell: e for e in journal.of(Failed)}
        self.artifacts = {e.cell: e for e in journal.of(ArtifactReady)}
        self.relaunched = bool(journal.of(Residency))
        self._counted = calmest(self.blocks)
        waits = [1.0 - block.calm_share for block in self._counted if block.calm_share is not None]
        self.waited_share = sum(waits) / len(waits) if waits else 0.0
        """Mean share of the blocks' time that their threads waited for a CPU."""
        self.eliminated = {e.cell for e in journal.of(Eliminated)}
        self.calm = self.waited_share > WAITED_SHARE
        """Ratios are of calm times."""
        self._samples: dict[tuple[str, Boundary], CellSamples | None] = {}
        self._quota: dict[str, float | None] = {}

    def samples(self, cell: str, boundary: Boundary) -> CellSamples | None:
        key = (cell, boundary)
        if key not in self._samples:
            self._samples[key] = cell_samples(cell, boundary, self._counted, calm=self.calm)
        return self._samples[key]

    def quota_share(self, cell: str) -> float | None:
        """Share of the time of a cell's visits that the container's CPU quota held it back; None where unknown."""
        if cell not in self._quota:
            self._quota[cell] = machine_facts(
                visit.telemetry for visit in self.visits if visit.cell == cell
            ).quota_throttled_share
        return self._quota[cell]

    def speedup(
        self, cell: str, baseline: str, boundary: Boundary, margin: float, *, one_process: bool = False
    ) -> Speedup | None:
        """A cell against its baseline, as the results keep it; None where one of them has no samples.

        `one_process`: they share it, so no luck of a start is between them.
        """
        ours, theirs = self.samples(cell, boundary), self.samples(baseline, boundary)
        if ours is None or theirs is None:
            return None
        found = ratio(theirs, ours, margin, 0.0) if one_process else ratio(theirs, ours, margin)
        notes = f"; waiting for a CPU, {percent(self.waited_share)} of the time, is taken off" if self.calm else ""
        if cell in self.eliminated:
            notes += "; timed no further once it had surely lost"
        explained = found.explanation.split("; one launch")[0] if one_process else found.explanation
        plain = Speedup(found.ratio, found.ci95, found.verdict.value, explained + notes)
        return quota.carried(plain, self.quota_share(cell), self.quota_share(baseline))

    def outputs(self, cell: str) -> dict[int, str]:
        """File name of the outputs kept for each input index."""
        return {b.input: b.outputs for b in self.blocks if b.cell == cell and b.outputs}

    def digests(self, cell: str) -> dict[int, set[str]]:
        """Distinct output hashes seen for each input: more than one is a runtime that does not repeat itself."""
        found: dict[int, set[str]] = {}
        for block in self.blocks:
            if block.cell == cell:
                found.setdefault(block.input, set()).add(block.outputs_sha256)
        return found


def baseline_of(cell: CellSpec, cells: Sequence[CellSpec]) -> CellSpec | None:
    """Return the baseline of a cell's ratio.

    It is the one on the cell's own device (of several GPUs the first), else the run's only one.
    """
    baselines = [c for c in cells if c.baseline]
    same = [c for c in baselines if c.device == first_device(cell.device)]
    if same:
        return same[0]
    return baselines[0] if len(baselines) == 1 else None
