"""The Pareto set on intervals: the cells that no other beats for certain.

With point values a cell leaves the front for a difference of noise. Here cell A dominates cell B when A is certainly
better in at least one objective (the intervals do not touch), certainly worse in none, and better in the geometric mean
of all. The last condition keeps the relation free of cycles, which overlaps of intervals alone allow. An objective that
was not measured counts as the worst value: it can't dominate, and unknown is no virtue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from depthport.bench.results.metrics import Estimate

UNKNOWN = Estimate(math.inf, math.inf, math.inf)
Costs = Sequence[Estimate | None]
"""One cell's objectives, lower is better, None where not measured."""


def dominates(a: Costs, b: Costs) -> bool:
    """Whether `a` is better than `b` beyond doubt; both hold the same objectives in the same order."""
    pairs = [(x or UNKNOWN, y or UNKNOWN) for x, y in zip(a, b, strict=True)]
    if any(y.certainly_below(x) for x, y in pairs):
        return False
    if not any(x.certainly_below(y) for x, y in pairs):
        return False
    return sum(_log(x.value, y.value) for x, y in pairs) < 0


def _log(x: float, y: float) -> float:
    """log(x / y), where two unknowns are equal and an unknown is beyond any value."""
    if x == y:
        return 0.0
    if math.isinf(x) or y <= 0:
        return math.inf
    return -math.inf if math.isinf(y) or x <= 0 else math.log(x / y)


def pareto_set(costs: Sequence[Costs]) -> list[int]:
    """Indices of the rows that no other row dominates, in their order."""
    return [i for i, own in enumerate(costs) if not any(dominates(other, own) for j, other in enumerate(costs) if j != i)]
