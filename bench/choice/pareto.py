"""The Pareto set on intervals: the cells that no other beats for certain.

With point values a cell leaves the front for a difference of noise. Here cell A dominates cell B when A is certainly
better in at least one objective (the intervals do not touch), certainly worse in none, and better in the geometric mean
of all. The last condition keeps the relation free of cycles, which overlaps of intervals alone allow. An objective that
was not measured counts as the worst value: it can't dominate, and unknown is no virtue.
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
    table = _Table(costs)
    return [index for index in range(len(costs)) if not table.dominated(index)]


_LIKELY = 64
"""Rows that are looked at first: what is dominated at all is nearly always dominated by one of the best."""


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
        order = np.argsort(mean, kind="stable")  # NaN, the best here and unknown there, comes last
        self._first, self._rest = order[:_LIKELY], order[_LIKELY:]

    def dominated(self, index: int) -> bool:
        """Whether any row dominates that of `index`."""
        return self._by(self._first, index) or self._by(self._rest, index)

    def _by(self, rows: NDArray[np.intp], index: int) -> bool:
        certainly_worse = (self._high[index] < self._low[rows]).any(axis=1)
        certainly_better = (self._high[rows] < self._low[index]).any(axis=1)
        left = rows[certainly_better & ~certainly_worse]
        if not left.size:
            return False
        ours, theirs = self._log[left], self._log[index]
        with np.errstate(invalid="ignore"):
            # Two unknowns are equal, an unknown is beyond any value.
            return bool((np.where(ours == theirs, 0.0, ours - theirs).sum(axis=1) < 0).any())
