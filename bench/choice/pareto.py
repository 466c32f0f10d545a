"""The Pareto set on intervals: the cells that no other beats for certain.

With point values a cell leaves the front for a difference of noise. Here cell A dominates cell B when A is certainly
better in at least one objective (the intervals do not touch), certainly worse in none, and better in the geometric mean
of all. The last condition keeps the relation free of cycles, which overlaps of intervals alone allow. An objective that
was not measured counts as the worst value: it can't dominate, and an unknown value is not an advantage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depthport.bench.results.metrics import Estimate

UNKNOWN = Estimate(math.inf, math.inf, math.inf)
Costs = Sequence[Estimate | None]
"""One cell's objectives, lower is better, None where not measured."""


def pareto_set(costs: Sequence[Costs]) -> list[int]:
    """Indices of the rows that no other row dominates, in their order."""
    if not costs or not costs[0]:
        return list(range(len(costs)))
    indices: list[int] = _Table(costs).front().tolist()
    return indices


_LIKELY = 64
"""Rows that are looked at first: what is dominated at all is nearly always dominated by one of the best."""
_AT_ONCE = 1 << 16
"""Pairs compared at once: what is held is a few megabytes."""


class _Table:
    """All rows as arrays, the best in the geometric mean first: thousands of cells are compared in moments."""

    def __init__(self, costs: Sequence[Costs]) -> None:
        rows = [[estimate or UNKNOWN for estimate in row] for row in costs]
        self._low = np.array([[e.low for e in row] for row in rows])
        self._high = np.array([[e.high for e in row] for row in rows])
        values = np.array([[e.value for e in row] for row in rows])
        with np.errstate(divide="ignore"):
            self._log = np.where(values > 0, np.log(np.maximum(values, 0)), -np.inf)
        with np.errstate(invalid="ignore"):
            mean = self._log.sum(axis=1)
        self._order = np.argsort(mean, kind="stable")  # NaN, the best here and unknown there, comes last

    def front(self) -> NDArray[np.intp]:
        """The rows that none dominates, in their order."""
        left = np.arange(len(self._log))
        for rows in (self._order[:_LIKELY], self._order[_LIKELY:]):
            step = max(1, _AT_ONCE // max(1, len(rows)))
            parts = [left[start : start + step] for start in range(0, len(left), step)]
            left = np.concatenate([part[~self._dominated(part, rows)] for part in parts])
        return left

    def _dominated(self, indices: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of `indices` any of `rows` dominates: bool (indices,)."""
        better, worse = np.zeros((2, len(indices), len(rows)), bool)
        mean = np.zeros((len(indices), len(rows)))
        for low, high, log in zip(self._low.T, self._high.T, self._log.T, strict=True):
            worse |= high[indices, None] < low[rows]
            better |= high[rows] < low[indices, None]
            with np.errstate(invalid="ignore"):
                # Two unknowns are equal, an unknown is beyond any value.
                mean += np.where(log[rows] == log[indices, None], 0.0, log[rows] - log[indices, None])
        return np.asarray((better & ~worse & (mean < 0)).any(axis=1))
