"""The mean of the middle half of weighted values, with its error: for rounds that bursts of other work strike.

Bursts slow some blocks by a third, a few in a row, and throw a ratio as far to either side. The midmean (the mean of the
middle half, with the error of a trimmed mean; Tukey & McLaughlin 1963, Yuen 1974) is 84 % as efficient as the mean where
noise is normal, and has half its error where it was not (16 rounds of an ONNX Runtime call on 2 cores of a virtual machine:
1.0 % against 1.5 %).

Values weigh by how quiet it was when they were taken (:func:`quietness`), never by what they are, so no weight knows which
of two cells it favours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depthport.bench.statistics.samples import FloatArray

FEWEST_TRIMMED = 8
"""Values from which there is a middle half, and from which weights can tell quiet ones from others."""
QUIET = 0.02
"""Share of a block spent waiting for a CPU up to which it counts as quiet: a machine's own scheduling stays below."""
_TINY = 1e-9


@dataclass(frozen=True)
class Midmean:
    """`squares` / `df` is the variance of one value of weight; that over `n` is the squared error of `value`."""

    value: float
    squares: float
    df: float
    n: float
    """Values of equal weight that tell as much (Kish 1965)."""


def quietness(waited: FloatArray) -> FloatArray:
    """Weights of rounds, float64 (n,), by the largest share of a block in each that was spent waiting for a CPU.

    1 / (1 + (waited / c)^2), where c is what the quietest quarter stays below, `QUIET` at least: what an estimate of the
    time without waiting is wrong by grows with what was taken off. All 1 below `FEWEST_TRIMMED` rounds.
    """
    if len(waited) < FEWEST_TRIMMED:
        return np.ones(len(waited))
    scale = max(QUIET, float(np.quantile(waited, 0.25)))
    return np.asarray(1.0 / (1.0 + (waited / scale) ** 2), dtype=np.float64)


def midmean(values: FloatArray, weights: FloatArray) -> Midmean:
    """The midmean of float64 (n,), n >= 1, with weights above zero; the mean where they tell less than 8 equal ones do."""
    order = np.argsort(values, kind="stable")
    ordered, shares = values[order], weights[order] / weights.sum()
    n = 1.0 / float(shares @ shares)
    cut = 0.25 if n > FEWEST_TRIMMED - _TINY else 0.0
    above = np.cumsum(shares)
    inside = np.clip(np.minimum(above, 1.0 - cut) - np.maximum(above - shares, cut), 0.0, None)
    last = len(values) - 1
    low = ordered[min(last, int(np.searchsorted(above, cut + _TINY)))]
    high = ordered[min(last, int(np.searchsorted(above, 1.0 - cut - _TINY)))]
    drawn_in = np.clip(ordered, low, high)
    residuals = shares * (drawn_in - shares @ drawn_in)
    kept = n * (1.0 - 2.0 * cut)
    squares = n * kept * float(residuals @ residuals) / (1.0 - 2.0 * cut) ** 2
    return Midmean(float(inside @ ordered / inside.sum()), squares, max(0.0, kept - 1.0), n)
