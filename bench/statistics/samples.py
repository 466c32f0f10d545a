"""Timed samples, and the arithmetic on one series of them: percentiles, mean, variation, grouping.

The data model of every measured number, from the outside in:

    cell        one row of the matrix, `CellSamples`
    launch      one start of the cell's process; `launch` counts launch *sets*, the cells alive together
    round       one pass of the schedule over all cells that are alive; pairing is by (launch, round)
    block       one turn of the cell in a round, `Block`: one in a random round, two in a mirrored one
    sample      nanoseconds a call: one group of k calls between two reads of the clock, divided by k

A sample is a warm-up or steady. Warm-ups are kept and counted, and no statistic sees them. No outlier is deleted.

Sources: Georges, Buytaert, Eeckhout, "Statistically rigorous Java performance evaluation", OOPSLA 2007
(start-up and steady state apart, several process starts, CV); Hoefler, Belli, "Scientific benchmarking of parallel
computing systems", SC 2015 (medians, nonparametric intervals, which percentile a count can carry); Chen, Revels,
"Robust benchmarking in noisy environments", 2016 (group calls until the timer's error is small).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from depthport.exporters.core.errors import UsageError

FloatArray = npt.NDArray[np.float64]
Samples = Sequence[float] | npt.NDArray[np.generic]

CONFIDENCE = 0.95
UNSTABLE_CV = 0.025
"""Coefficient of variation above which a cell is called unstable (the bound trtexec warns at)."""


def as_samples(samples: Samples, what: str = "samples") -> FloatArray:
    """`samples` as float64 (n,), checked: latencies in ns are finite and above zero. n may be 0.

    Raises:
        UsageError: not one-dimensional, or a value is NaN, infinite, zero or negative; names the first one.
    """
    array = np.asarray(samples, dtype=np.float64)
    if array.ndim != 1:
        raise UsageError(f"{what}: latencies must be one list of numbers, got an array of shape {array.shape}")
    if len(array) and not 0.0 < np.minimum.reduce(array) <= np.maximum.reduce(array) < np.inf:  # NaN spreads
        first = int(np.argmin(np.isfinite(array) & (array > 0.0)))
        raise UsageError(
            f"{what}: sample {first} is {array[first]:g} ns, but a latency is finite and above zero; "
            "the clock or the file it was read from is broken: measure the cell again"
        )
    return array


@dataclass(frozen=True, eq=False)
class Block:
    """One turn of one cell.

    `samples_ns` is float64 (n,), n >= 1, in the order timed; the first `warmup` of them are warm-ups (all of
    them, in a block that ends before the steady state). Raises UsageError for what cannot be a block.
    """

    launch: int
    round: int
    samples_ns: FloatArray
    warmup: int = 0
    calm: float = 1.0
    """Share of its time that is left without waiting for a CPU (0, 1]; ratios are of calm times."""
    doubt: float = 0.0
    """Share that was taken off by a guess [0, 1)."""

    def __post_init__(self) -> None:
        what = f"block (launch {self.launch}, round {self.round})"
        samples = as_samples(self.samples_ns, what).copy()
        if not len(samples):
            raise UsageError(f"{what} holds no sample: a block that was not run is left out, not kept empty")
        if not 0 <= self.warmup <= len(samples):
            raise UsageError(f"{what}: {self.warmup} warm-ups of {len(samples)} samples")
        samples.flags.writeable = False
        object.__setattr__(self, "samples_ns", samples)

    @property
    def steady_ns(self) -> FloatArray:
        """The samples after the warm-ups, float64 (m,), m >= 0."""
        return self.samples_ns[self.warmup :]


@dataclass(frozen=True, eq=False)
class CellSamples:
    """All blocks of one cell at one boundary, in the order they ran: (launch, round) never decreases."""

    cell: str
    blocks: tuple[Block, ...]
    round_blocks: float | None = None
    """Blocks of all cells in one of this cell's rounds, on average; None where unknown."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        keys = [(block.launch, block.round) for block in self.blocks]
        if any(later < earlier for earlier, later in pairwise(keys)):
            raise UsageError(f"cell {self.cell}: blocks are not in the order they ran: sort by launch and round")

    def steady_ns(self) -> FloatArray:
        """Every steady sample in order, float64 (n,); empty where no steady state was reached."""
        return np.concatenate([np.empty(0), *(block.steady_ns for block in self.blocks)])


@dataclass(frozen=True)
class Quantile:
    """A quantile of n samples with its 95 % order-statistic interval, in the samples' unit."""

    q: float
    value: float
    ci95: tuple[float, float]
    n: int


@lru_cache(maxsize=64)
def minimum_count(q: float) -> int:
    """Fewest samples that carry a 95 % interval of the q-quantile: p50 6, p90 29, p95 59, p99 299.

    The widest interval they give, [min, max], misses the quantile when all n lie on one side of it, so n is
    the smallest with `q^n + (1 - q)^n <= 0.05`.

    Raises:
        UsageError: q is not inside (0, 1).
    """
    if not 0.0 < q < 1.0:
        raise UsageError(f"a quantile lies between 0 and 1 (p90 is 0.9), got {q!r}")
    n = max(1, math.floor(math.log(1.0 - CONFIDENCE) / math.log(max(q, 1.0 - q))) - 1)
    while q**n + (1.0 - q) ** n > 1.0 - CONFIDENCE:
        n += 1
    return n


def _binomial_tails(n: int, q: float) -> tuple[int, FloatArray, FloatArray]:
    """`k0`, `P(K < k0 + i)` and `P(K >= k0 + i)` of Binomial(n, q), over all k that carry any probability.

    By the ratio of neighbours, `P(k+1) / P(k) = (n - k) / (k + 1) * q / (1 - q)`, within 40 standard deviations.
    """
    reach = 40.0 * math.sqrt(n * q * (1.0 - q)) + 40.0
    low, high = max(0, math.floor(n * q - reach)), min(n, math.ceil(n * q + reach))
    k = np.arange(low, high, dtype=np.float64)
    steps = np.log((n - k) / (k + 1.0)) + math.log(q) - math.log1p(-q)
    log_mass = np.concatenate([[0.0], np.cumsum(steps)])
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    below = np.concatenate([[0.0], np.cumsum(mass)])
    above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])
    return low, below, above


@lru_cache(maxsize=256)
def order_statistic_ranks(n: int, q: float) -> tuple[int, int]:
    """1-based ranks (l, u) such that [x_(l), x_(u)] covers the q-quantile in at least 95 % of all draws of n.

    For n >= `minimum_count(q)`. `P(x_(l) <= xi < x_(u)) = P(l <= K < u)`, K ~ Binomial(n, q). Each tail gets
    half of the 5 %; where the far tail cannot be cut that small (p90 of 29), the outermost sample is taken
    and the near tail gets what is left.
    """
    k0, below, above = _binomial_tails(n, q)
    alpha = 1.0 - CONFIDENCE
    low_cost, high_cost = (1.0 - q) ** n, q**n  # what it costs to stop at the first and at the last sample
    upper_budget = alpha / 2 if low_cost <= alpha / 2 else alpha - low_cost
    lower_budget = alpha / 2 if high_cost <= alpha / 2 else alpha - high_cost
    # `below` rises and `above` falls with the rank: bisection finds the innermost rank that a budget allows.
    lower = k0 + int(np.searchsorted(below, lower_budget, side="right")) - 1
    upper = k0 + int(np.searchsorted(-above, -upper_budget, side="left"))
    return max(1, lower), min(n, upper)


def percentile(samples: Samples, q: float) -> Quantile | None:
    """The q-quantile of float (n,) samples with its 95 % interval; None below `minimum_count`.

    The value interpolates linearly between order statistics, as `numpy.quantile` does. The interval is exact
    for independent samples of any distribution; for the samples of a whole cell, which are not independent,
    use `depthport.bench.statistics.bootstrap.latency_quantile`.

    Raises:
        UsageError: q is not inside (0, 1), or a sample is not a latency.
    """
    array = as_samples(samples)
    n = len(array)
    if n < minimum_count(q):
        return None
    lower, upper = order_statistic_ranks(n, q)
    parts = np.partition(array, (lower - 1, upper - 1))
    ci95 = (float(parts[lower - 1]), float(parts[upper - 1]))
    return Quantile(q, float(np.quantile(array, q)), ci95, n)


@dataclass(frozen=True)
class MeanStd:
    """Mean and sample standard deviation (n - 1 in the denominator; None for one sample) of n samples."""

    mean: float
    std: float | None
    n: int


def mean_std(samples: Samples) -> MeanStd:
    """Mean and standard deviation of float (n,) samples, n >= 1.

    Raises:
        UsageError: no sample, or one that is not a latency.
    """
    array = as_samples(samples)
    if not len(array):
        raise UsageError("mean of no samples: nothing was timed")
    return MeanStd(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array))


def coefficient_of_variation(samples: Samples) -> float | None:
    """Standard deviation over mean, of float (n,) samples; None below 2."""
    summary = mean_std(samples) if len(samples) else None
    return None if summary is None or summary.std is None else summary.std / summary.mean


def is_unstable(cv: float | None) -> bool:
    """Return whether a coefficient of variation exceeds `UNSTABLE_CV` (2.5 %); False where there is none."""
    return cv is not None and cv > UNSTABLE_CV


def lag1_autocorrelation(samples: Samples) -> float | None:
    """Correlation of each sample with the next, float (n,); None below 3 samples or where all are equal.

    For independent samples its mean is -1/n. Above about 0.3 an interval that takes samples as independent is
    far too narrow (at 0.9 by a factor of 4.4), which is why ours never does.
    """
    array = as_samples(samples)
    centred = array - array.mean() if len(array) else array
    power = float(centred @ centred)
    if len(array) < 3 or power <= 1e-24 * float(array @ array):
        return None
    return float(centred[1:] @ centred[:-1]) / power


def group_size(call_ns: float, overhead_ns: float, target: float = 1e-3) -> int:
    """Calls to put between two reads of the clock so that reading it costs at most `target` of the group.

    `call_ns` is one call, `overhead_ns` one pair of clock reads with its synchronize (Chen & Revels 2016).

    Raises:
        UsageError: `call_ns` or `target` is not above zero, `overhead_ns` is negative, or one is not finite.
    """
    valid = all(map(math.isfinite, (call_ns, overhead_ns, target))) and call_ns > 0 and target > 0
    if not valid or overhead_ns < 0:
        raise UsageError(f"group size needs call > 0, overhead >= 0, target > 0: {call_ns}, {overhead_ns}, {target}")
    return max(1, math.ceil(overhead_ns / (target * call_ns)))
