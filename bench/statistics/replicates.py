"""Independent replicates of what was timed, and the errors of their means.

**Latencies.** A single cell's latency has no partner to cancel the machine's mood, which moves far more than a process
start's luck. The replicate is the launch from `LATENCY_BATCHES` = 5 of them on; in a single launch of 15 rounds or more
five *batches* of consecutive rounds (batch means, Schmeiser 1982); and of fewer each round, because two batches give an
interval of 12.7 standard errors. Rounds share a mood, so their error is widened by sqrt((1 + c) / (1 - c)) with c =
`CORRELATED` to the power of the blocks in a round: as for calls correlated at 0.9, one a block, without a pause. Two to
four launches add the luck that is known of launches beforehand. That covers 93 to 97 % in this worst case, more
elsewhere; batches alone covered 80 to 95 %.
"""

from __future__ import annotations

import math

import numpy as np

from depthport.bench.statistics.samples import FloatArray

LATENCY_BATCHES = 5
CORRELATED = 0.9
"""Correlation of one block's machine noise with the next one's, of whatever cell: of all that was seen, the highest."""
LAUNCH_NOISE, LAUNCH_NOISE_DF = 0.008, 5
"""Standard deviation of a log latency between process starts, and the degrees of freedom that this knowledge is worth.
Measured: 0.2 % on a GPU, 0.77 % between 12 pairs of ONNX Runtime processes on a CPU, about 1 % between PyTorch's."""
_TINY = 1e-30


def mean_and_error(replicates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and its standard error over the last axis of float (..., n), n >= 2."""
    n = replicates.shape[-1]
    return replicates.mean(axis=-1), replicates.std(axis=-1, ddof=1) / math.sqrt(n)


def mean(values: FloatArray) -> FloatArray:
    """Mean over the last axis: float (..., n) -> (...)."""
    averages: FloatArray = values.mean(axis=-1)
    return averages


def batch_means(values: FloatArray, batches: int) -> FloatArray:
    """Means of consecutive, near-equal parts of the last axis: float (..., n) -> (..., min(n, batches))."""
    parts = np.array_split(values, min(batches, values.shape[-1]), axis=-1)
    return np.stack([mean(part) for part in parts], axis=-1)


def latency_batches(n_launches: int, n_rounds: int, round_blocks: float | None = None) -> tuple[int, float]:
    """Replicates in the `n_rounds` unpaired rounds of one of `n_launches` launches, and what their error is multiplied by.

    The launch itself, from 5 launches on; five batches of a single one of 15 rounds or more; else each round. Where
    `CellSamples.round_blocks` is not known, batches of 2 rounds or more (3 in a single launch, but 2 batches at least).
    """
    if n_launches >= LATENCY_BATCHES:
        return 1, 1.0
    alone = n_launches == 1
    if round_blocks is not None and not (alone and n_rounds >= 3 * LATENCY_BATCHES):
        shared = CORRELATED**round_blocks
        return n_rounds, math.sqrt((1.0 + shared) / (1.0 - shared))
    wanted = -(-LATENCY_BATCHES // n_launches)
    return (min(n_rounds, max(2, min(wanted, n_rounds // 3))) if alone else max(1, min(wanted, n_rounds // 2))), 1.0


def latency_error(error: float, replicates: int, n_launches: int, round_blocks: float | None) -> tuple[float, float]:
    """The standard error of a log latency whose replicates alone give `error`, and its degrees of freedom."""
    if round_blocks is None or not 1 < n_launches < LATENCY_BATCHES:
        return error, replicates - 1.0
    return together(error, replicates - 1.0, LAUNCH_NOISE / math.sqrt(n_launches), LAUNCH_NOISE_DF + n_launches - 1)


def together(error: float, df: float, other: float, other_df: float) -> tuple[float, float]:
    """Two independent errors as one, with Satterthwaite's degrees of freedom."""
    total = error**2 + other**2
    return math.sqrt(total), (total**2 + _TINY) / (error**4 / (df + _TINY) + other**4 / max(other_df, 1) + _TINY)
