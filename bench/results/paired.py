"""Blocks restored from the samples of a results file, to form verdicts between any two of its cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depthport.bench.results.model import Boundary, Cell
from depthport.bench.results.samples import Samples
from depthport.bench.statistics.estimate import RoundTable, log_ratio_of_rounds, rounds_of_samples
from depthport.bench.statistics.samples import Block, CellSamples, FloatArray
from depthport.bench.statistics.verdict import judge

NS_PER_MS = 1e6


def paired_verdict(cell: RoundTable, reference: RoundTable) -> str | None:
    """`faster`, `slower`, `equivalent` or `inconclusive`: a cell against a reference of the same run.

    None where the file's samples can't be paired.
    """
    estimate = log_ratio_of_rounds(reference, cell)
    return None if estimate is None or estimate.standard_error is None else judge(estimate).verdict.value


def rounds_of(cell: Cell, boundary: Boundary) -> RoundTable:
    """Return a cell's samples at one boundary as pairing takes them; empty where the file keeps no blocks."""
    return rounds_of_samples(*_steady(cell, boundary))


def cell_samples(cell: Cell, boundary: Boundary) -> CellSamples | None:
    """The cell's steady blocks at one boundary, in (launch, round, block) order; None where the file keeps no samples.

    A file without launch and round numbers (hand-made, or damaged) holds samples but no blocks: None too.
    """
    ns, calm, doubt, places = _steady(cell, boundary)
    keys, first, which = np.unique(places, axis=0, return_index=True, return_inverse=True)
    blocks = [
        Block(launch, round_, ns[which == turn], calm=float(calm[first[turn]]), doubt=float(doubt[first[turn]]))
        for turn, (launch, round_, _) in enumerate(keys.tolist())
    ]
    return CellSamples(cell.id, tuple(blocks)) if blocks else None


def _steady(cell: Cell, boundary: Boundary) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.int64]]:
    """Steady samples in ns, their calm shares and those in doubt, float64 (n,), and (launch, round, block), int64 (n, 3).

    n may be 0.
    """
    timing = cell.timing.get(boundary)
    samples = Samples() if timing is None else timing.samples
    count = len(samples.ms)
    if any(len(column) != count for column in (samples.launch, samples.round)):
        count = 0
    places = np.zeros((count, 3), np.int64)
    for index, column in enumerate((samples.launch, samples.round, samples.block)):
        if len(column) == count:
            places[:, index] = column
    keep = np.array(samples.steady, bool) if len(samples.steady) == count else np.ones(count, bool)
    calm = np.array(samples.calm, np.float64) if len(samples.calm) == count else np.ones(count)
    # A guess is only mended where it was made.
    doubt = np.array(samples.doubt, np.float64) if len(samples.calm) == len(samples.doubt) == count else np.zeros(count)
    return np.array(samples.ms[:count], np.float64)[keep] * NS_PER_MS, calm[keep], doubt[keep], places[keep]
