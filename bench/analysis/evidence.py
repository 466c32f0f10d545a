"""What a run's journal says of its cells."""

from __future__ import annotations

from collections.abc import Sequence

from depthport.bench.analysis.samples import cell_samples
from depthport.bench.environment.telemetry_summary import machine_facts
from depthport.bench.plan.cells import CellSpec
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Boundary
from depthport.bench.statistics.samples import CellSamples


class Evidence:
    """A journal's entries, indexed for the questions asked of them."""

    def __init__(self, journal: Journal) -> None:
        self.blocks = journal.of_kind("block")
        self.launches = journal.of_kind("launch")
        self.reports = journal.of_kind("report")
        self.visits = journal.of_kind("visit")
        self.regimes = {e["cell"]: e for e in journal.of_kind("regime")}
        self.failed = {e["cell"]: e for e in journal.of_kind("failed")}
        self.artifacts = {e["cell"]: e for e in journal.of_kind("artifact")}
        self.relaunched = any(e.get("relaunch") for e in journal.of_kind("residency"))
        self._samples: dict[tuple[str, Boundary], CellSamples | None] = {}
        self._quota: dict[str, float | None] = {}

    def samples(self, cell: str, boundary: Boundary) -> CellSamples | None:
        key = (cell, boundary)
        if key not in self._samples:
            self._samples[key] = cell_samples(cell, boundary, self.blocks)
        return self._samples[key]

    def quota_share(self, cell: str) -> float | None:
        """Share of the time of a cell's visits that the container's CPU quota held it back; None where unknown."""
        if cell not in self._quota:
            self._quota[cell] = machine_facts(
                v["telemetry"] for v in self.visits if v["cell"] == cell
            ).quota_throttled_share
        return self._quota[cell]

    def outputs(self, cell: str) -> dict[int, str]:
        """File name of the outputs kept for each input index."""
        return {b["input"]: b["outputs"] for b in self.blocks if b["cell"] == cell and b.get("outputs")}

    def digests(self, cell: str) -> dict[int, set[str]]:
        """Distinct output hashes seen for each input: more than one is a runtime that does not repeat itself."""
        found: dict[int, set[str]] = {}
        for block in self.blocks:
            if block["cell"] == cell:
                found.setdefault(block["input"], set()).add(block["outputs_sha256"])
        return found


def baseline_of(cell: CellSpec, cells: Sequence[CellSpec]) -> CellSpec | None:
    """The baseline that a cell's ratio is to: the one on its own device, else the run's only one."""
    baselines = [c for c in cells if c.baseline]
    same = [c for c in baselines if c.device == cell.device]
    if same:
        return same[0]
    return baselines[0] if len(baselines) == 1 else None
