"""From the samples kept in a results file back to blocks, so that verdicts can be formed between any two of
its cells."""

from __future__ import annotations

import numpy as np

from depthport.bench.results.model import Boundary, Cell, Samples
from depthport.bench.statistics.estimate import estimate_log_ratio
from depthport.bench.statistics.samples import Block, CellSamples
from depthport.bench.statistics.verdict import judge

NS_PER_MS = 1e6


def paired_verdict(cell: Cell, reference: Cell, boundary: Boundary) -> str | None:
    """`faster`, `slower`, `equivalent` or `inconclusive`: `cell` against `reference` of the same run.

    None where the file's samples can't be paired.
    """
    ours, theirs = cell_samples(cell, boundary), cell_samples(reference, boundary)
    if ours is None or theirs is None:
        return None
    estimate = estimate_log_ratio(theirs, ours)
    return None if estimate is None or estimate.standard_error is None else judge(estimate).verdict.value


def cell_samples(cell: Cell, boundary: Boundary) -> CellSamples | None:
    """The cell's steady blocks at one boundary, in (launch, round, block) order; None where the file keeps no samples.

    A file without launch and round numbers (hand-made, or damaged) holds samples but no blocks: None too.
    """
    timing = cell.timing.get(boundary)
    if timing is None:
        return None
    blocks = [Block(launch, round_, ns) for (launch, round_, _), ns in _blocks(timing.samples)]
    return CellSamples(cell.id, tuple(blocks)) if blocks else None


def _blocks(samples: Samples) -> list[tuple[tuple[int, int, int], np.ndarray]]:
    count = len(samples.ms)
    if not count or any(len(column) != count for column in (samples.launch, samples.round)):
        return []
    block = samples.block if len(samples.block) == count else [0] * count
    steady = samples.steady if len(samples.steady) == count else [True] * count
    grouped: dict[tuple[int, int, int], list[float]] = {}
    for ms, launch, round_, turn, keep in zip(samples.ms, samples.launch, samples.round, block, steady, strict=True):
        if keep:
            grouped.setdefault((launch, round_, turn), []).append(ms * NS_PER_MS)
    return [(key, np.array(grouped[key])) for key in sorted(grouped)]
