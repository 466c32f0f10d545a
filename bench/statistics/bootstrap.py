"""Hierarchical bootstrap of a cell's latency quantiles: each process start is drawn whole.

The statistic is the quantile of *all* steady samples pooled, the number a reader can recompute from the
samples kept. Its error is not that of n independent samples. So whole launches are drawn with replacement,
with all rounds and blocks in them: drawing at the lower levels too would count their spread twice (Davison &
Hinkley 1997 section 3.8; Ren et al., "Nonparametric bootstrapping for hierarchical data", J. Applied
Statistics 2010). Of fewer than five launches, batches of consecutive rounds are drawn, as in
`depthport.bench.statistics.estimate`; of one round, nothing can be.

The interval is Student's t around the quantile, on the log scale, with the bootstrap's standard error times
sqrt(n / (n - 1)) (the bootstrap's variance of n units is too small by (n - 1) / n; Hesterberg 2015) and n - 1
degrees of freedom. A percentile or BCa interval cannot hold with the 3 to 10 launches one can afford: with n
= 3 the most extreme draw has probability 1/27, more than the 2.5 % a tail may have; simulated coverage is 75
% (3), 84 % (5), 90 % (10), against 95 % for the t interval.

Drawing is vectorised: a draw is a vector of counts over launches, so all draws are one matrix product with
the histogram of each launch over the pooled order statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from depthport.bench.statistics.replicates import latency_batches, latency_error
from depthport.bench.statistics.samples import CellSamples, FloatArray, Quantile, minimum_count
from depthport.bench.statistics.student_t import student_t_quantile
from depthport.exporters.core.errors import UsageError

REPLICATES = 2000
FEWEST_ROUNDS = 3
"""Of a single launch: two tell an interval of thirteen standard errors (5 [0.0006, 44000] ms has been seen)."""
_MAX_BINS = 4096


def resampling_units(cell: CellSamples) -> tuple[list[FloatArray], float, int]:
    """The steady samples (ns) of each unit drawn whole, what their error is multiplied by, and the number of launches.

    A unit is a launch, or, of a few launches, a batch of rounds (`latency_batches`).
    """
    launches: dict[int, dict[int, list[FloatArray]]] = {}
    for block in cell.blocks:
        if len(block.steady_ns):
            launches.setdefault(block.launch, {}).setdefault(block.round, []).append(block.steady_ns)
    units, widened = [], 1.0
    for by_round in launches.values():
        rounds = [np.concatenate(blocks) for blocks in by_round.values()]
        count, widened = latency_batches(len(launches), len(rounds), cell.round_blocks)
        units += [np.concatenate([rounds[i] for i in part]) for part in np.array_split(np.arange(len(rounds)), count)]
    return units, widened, len(launches)


def bootstrap_quantiles(units: Sequence[FloatArray], q: float, seed: int, replicates: int = REPLICATES) -> FloatArray:
    """Pooled q-quantiles of `replicates` draws of the units with replacement, float64 (replicates,).

    Exact (the smallest sample with at least q of the weight at or below it) up to 4096 samples; beyond, to
    within one of 4096 steps of the pooled ranks.
    """
    pooled = np.concatenate(units)
    bins = min(len(pooled), _MAX_BINS)
    order = np.sort(pooled)
    edges = order[(np.arange(1, bins + 1) * len(order)) // bins - 1]  # the last sample of each step
    edges = np.unique(edges)
    histogram = np.stack([np.bincount(np.searchsorted(edges, unit), minlength=len(edges)) for unit in units])
    rng = np.random.Generator(np.random.PCG64(seed))
    n = len(units)
    draws = rng.multinomial(n, np.full(n, 1.0 / n), size=replicates).astype(np.float64)
    weight = draws @ np.cumsum(histogram, axis=1).astype(np.float64)  # (replicates, bins), cumulative
    reached = weight >= q * weight[:, -1:] - 1e-9
    return np.asarray(edges[np.argmax(reached, axis=1)], dtype=np.float64)


def latency_quantile(cell: CellSamples, q: float = 0.5, seed: int = 0) -> Quantile | None:
    """The q-quantile (ns) of all steady samples with its 95 % interval over launches.

    None where the count cannot carry the quantile (`minimum_count`, but the median is given from one sample
    on), or where there are not two launches to draw, or three rounds of one, so that no spread is known.

    Raises:
        UsageError: q is not inside (0, 1).
    """
    if not 0.0 < q < 1.0:
        raise UsageError(f"a quantile lies between 0 and 1 (p90 is 0.9), got {q!r}")
    units, widened, n_launches = resampling_units(cell)
    n = sum(map(len, units))
    if len(units) < (FEWEST_ROUNDS if n_launches == 1 else 2) or (q != 0.5 and n < minimum_count(q)):
        return None
    value = float(np.quantile(np.concatenate(units), q))
    draws = np.log(bootstrap_quantiles(units, q, seed))
    spread = float(draws.std()) if np.ptp(draws) else 0.0  # the mean of equal floats may differ by a rounding
    error = widened * spread * math.sqrt(len(units) / (len(units) - 1))
    error, df = latency_error(error, len(units), n_launches, cell.round_blocks)
    half = student_t_quantile(0.975, df) * error
    return Quantile(q, value, (value * math.exp(-half), value * math.exp(half)), n)
