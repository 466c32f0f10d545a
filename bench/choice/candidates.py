"""Cells to choose from, and whether the run distinguishes two of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from depthport.bench.results.metrics import Estimate, Metric
from depthport.bench.results.model import FROM_FILES, Boundary, Cell, Results, is_control
from depthport.bench.results.paired import paired_verdict, rounds_of
from depthport.bench.results.runtime_facts import facts_of
from depthport.bench.statistics.estimate import RoundTable


@dataclass(frozen=True, eq=False)
class Candidate:
    """A cell with the run it was measured in: only cells of one run share its rounds."""

    cell: Cell
    run: int = 0
    licence: str | None = None
    """The runtime's; None: not known."""
    _slower: dict[tuple[int, str], bool | None] = field(default_factory=dict, repr=False)
    """Paired answers already found, by the other candidate and the boundary: choosing asks for each many times."""

    _rounds: dict[Boundary, RoundTable] = field(default_factory=dict, repr=False)
    """Its samples as pairing takes them: one cell is paired with all others."""

    _estimates: dict[tuple[str, Boundary], Estimate | None] = field(default_factory=dict, repr=False)
    """Figures already read: choosing and what would change the choice ask for each a dozen times."""

    def of(self, metric: Metric, boundary: Boundary) -> Estimate | None:
        """The cell's figure, as :meth:`Metric.of` reads it."""
        key = (metric.name, boundary)
        if key not in self._estimates:
            self._estimates[key] = metric.of(self.cell, boundary)
        return self._estimates[key]

    def cost(self, metric: Metric, boundary: Boundary) -> Estimate | None:
        """The same, turned so that lower is better."""
        return metric.as_cost(self.of(metric, boundary))

    def rounds(self, boundary: Boundary) -> RoundTable:
        """The cell's samples as pairing takes them."""
        if boundary not in self._rounds:
            self._rounds[boundary] = rounds_of(self.cell, boundary)
        return self._rounds[boundary]

    @property
    def id(self) -> str:
        return self.cell.id

    @property
    def workload(self) -> str:
        """Model, views, size and weights. Scenes B may differ: throughput compares them, latency says which B."""
        cell = self.cell
        views = f"{cell.views} view" + ("s" if cell.views != 1 else "")
        weights = f", {cell.weights}" if cell.weights.startswith("synthetic") else ""
        source = ", from encoded photographs" if FROM_FILES in cell.tags else ""
        return f"{cell.model}, {views} of {cell.height}×{cell.width}{weights}{source}"


def candidates_of(results: Results, run: int = 0) -> list[Candidate]:
    """Every cell of a run but its controls."""
    return [candidate(results, cell, run) for cell in results.cells if not is_control(cell.tags)]


def candidate(results: Results, cell: Cell, run: int = 0) -> Candidate:
    """A cell of `results` as something to choose."""
    return Candidate(cell, run, facts_of(results, cell.runtime).licence)


def told_apart(best: Candidate, other: Candidate, metric: Metric, boundary: Boundary) -> bool:
    """Return whether `other` is worse than `best` in `metric` beyond doubt.

    Intervals that do not touch settle it. Where they do, latencies of one run are compared pair by pair within its
    rounds, as the run's own verdicts are: what two cells share, the machine's mood, does not blur that.
    """
    a, b = best.cost(metric, boundary), other.cost(metric, boundary)
    if a is None or b is None or a.certainly_below(b):
        return a is not None
    if best.run != other.run or metric.name not in ("latency_ms", "throughput_img_s"):
        return False
    key = (id(other), boundary)
    if key not in best._slower:
        best._slower[key] = _paired(best, other, boundary)
    return bool(best._slower[key])


def _paired(best: Candidate, other: Candidate, boundary: Boundary) -> bool | None:
    """Return whether the paired verdict of one run is that `best` is faster; None where the samples can't be paired."""
    if best.cell.batch != other.cell.batch:
        return None
    verdict = paired_verdict(best.rounds(boundary), other.rounds(boundary))
    return None if verdict is None else verdict == "faster"
