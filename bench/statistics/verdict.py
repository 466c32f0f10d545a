"""Faster, slower, equivalent or inconclusive, and why; ranks with ties.

Two questions are asked of the same estimate. *Is there a difference?* The 95 % interval of the ratio leaves out 1. *Is
it too small to matter?* Two one-sided tests at 5 % (TOST, Schuirmann 1987): the 90 % interval lies inside the margin,
1/1.02 to 1.02. Both can be true of a well measured cell; then the answer that helps to decide, "equivalent", is given,
and its reason says which side of 1 the cell is on. A wide interval is "inconclusive", never "the same".

The reason is a code with a sentence (after nvbench's FAST / SLOW / SAME / AMBIGUOUS): a verdict is data, and
explains itself. A/A comparisons come out faster or slower in at most 5 % of runs, by construction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from depthport.bench.statistics.digits import format_interval
from depthport.bench.statistics.estimate import Estimate, difference, estimate_log_ratio
from depthport.bench.statistics.replicates import LAUNCH_NOISE
from depthport.bench.statistics.samples import CellSamples
from depthport.exporters.core.errors import UsageError

MARGIN = 0.02
FAMILY_ERROR = 0.05


class Verdict(str, Enum):
    """Result of comparing a cell with another."""

    FASTER = "faster"
    SLOWER = "slower"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


class Reason(str, Enum):
    """Reason of a verdict."""

    BEYOND_MARGIN = "beyond_margin"
    """The whole 95 % interval is beyond the margin."""
    BEYOND_ONE = "beyond_one"
    """The 95 % interval leaves out 1 but reaches into the margin: a difference, perhaps a small one."""
    WITHIN_MARGIN = "within_margin"
    """The 90 % interval is inside the margin, and the 95 % interval holds 1."""
    WITHIN_MARGIN_NOT_ONE = "within_margin_not_one"
    """The 90 % interval is inside the margin, the 95 % interval leaves out 1: too small to matter."""
    INTERVAL_TOO_WIDE = "interval_too_wide"
    """The 95 % interval holds 1 and the 90 % interval reaches beyond the margin."""
    NO_SPREAD = "no_spread"
    """One round of one launch: nothing says how much it would vary."""
    NO_COMMON_ROUND = "no_common_round"
    """The two cells were never measured in the same complete round of the same launch set."""


@dataclass(frozen=True)
class Ratio:
    """baseline / cell: above 1 the cell is faster. `ratio` is None only where no round is shared."""

    ratio: float | None
    ci95: tuple[float, float] | None
    verdict: Verdict
    reason: Reason
    n_rounds: int
    n_launches: int
    margin: float
    estimate: Estimate | None

    @property
    def explanation(self) -> str:
        """The reason as one sentence with its numbers."""
        margin = f"±{100 * self.margin:g} %"
        remedy = "close what else runs" if self.estimate is not None and self.estimate.in_doubt else "give more time"
        text = {
            Reason.BEYOND_MARGIN: f"the whole 95 % interval is beyond {margin}",
            Reason.BEYOND_ONE: f"the 95 % interval leaves out 1, but the difference may be under {margin}",
            Reason.WITHIN_MARGIN: f"any difference is under {margin}",
            Reason.WITHIN_MARGIN_NOT_ONE: f"there is a difference, but it is under {margin}",
            Reason.INTERVAL_TOO_WIDE: f"the interval holds 1 and reaches beyond {margin}; {remedy}",
            Reason.NO_SPREAD: "one round shows no spread: measure at least two rounds, better three launches",
            Reason.NO_COMMON_ROUND: "never measured in the same complete round as the baseline",
        }[self.reason]
        number = "" if self.ratio is None else f"{format_interval(self.ratio, self.ci95, '×')}: "
        one = self.n_launches == 1 and self.ci95 is not None
        return number + text + (f"; one launch: that others differ by {LAUNCH_NOISE:.1%} is assumed" if one else "")


def judge(estimate: Estimate | None, margin: float = MARGIN) -> Ratio:
    """The verdict on an estimate of log(baseline / cell); None means that nothing was paired.

    Raises:
        UsageError: the margin is not above zero.
    """
    if not 0.0 < margin < math.inf:
        raise UsageError(f"an equivalence margin is above zero (0.02 is 2 %), got {margin!r}")
    if estimate is None:
        return Ratio(None, None, Verdict.INCONCLUSIVE, Reason.NO_COMMON_ROUND, 0, 0, margin, None)
    interval, inner = estimate.interval(), estimate.interval(0.90)
    if interval is None or inner is None:
        verdict, reason, ci95 = Verdict.INCONCLUSIVE, Reason.NO_SPREAD, None
    else:
        verdict, reason = _judge_interval(interval, inner, math.log1p(margin))
        # exp would overflow only where two replicates differ absurdly (t with one degree of freedom).
        ci95 = math.exp(max(interval[0], -700.0)), math.exp(min(interval[1], 700.0))
    ratio = math.exp(estimate.log)
    return Ratio(ratio, ci95, verdict, reason, estimate.n_rounds, estimate.n_launches, margin, estimate)


def _judge_interval(interval: tuple[float, float], inner: tuple[float, float], margin: float) -> tuple[Verdict, Reason]:
    """Judge by the 95 % (`interval`) and 90 % (`inner`) interval of the log ratio and the log margin."""
    low, high = interval
    differs = low > 0.0 or high < 0.0
    if -margin < inner[0] and inner[1] < margin:
        return Verdict.EQUIVALENT, Reason.WITHIN_MARGIN_NOT_ONE if differs else Reason.WITHIN_MARGIN
    if not differs:
        return Verdict.INCONCLUSIVE, Reason.INTERVAL_TOO_WIDE
    beyond = low > margin or high < -margin
    return (Verdict.FASTER if low > 0.0 else Verdict.SLOWER), Reason.BEYOND_MARGIN if beyond else Reason.BEYOND_ONE


def ratio(baseline: CellSamples, cell: CellSamples, margin: float = MARGIN, launch_noise: float = LAUNCH_NOISE) -> Ratio:
    """Ratio of the cell to the baseline, paired by (launch, round).

    See `depthport.bench.statistics.estimate` for the interval.
    """
    return judge(estimate_log_ratio(baseline, cell, launch_noise), margin)


@dataclass(frozen=True)
class Rank:
    """`rank` is 1 + the cells shown to be faster; `tied_with` are those statistically tied with this one."""

    cell: str
    rank: int
    tied_with: tuple[str, ...]


def _pair_estimate(a: CellSamples, b: CellSamples, baseline: CellSamples) -> Estimate | None:
    """log(a / b): side by side where they lived together, else each through its own ratio to the baseline."""
    direct = estimate_log_ratio(a, b)
    if direct is not None and direct.standard_error is not None:
        return direct
    to_a, to_b = estimate_log_ratio(baseline, a), estimate_log_ratio(baseline, b)
    return direct if to_a is None or to_b is None else difference(to_b, to_a)


def rank(cells: Sequence[CellSamples], baseline: CellSamples, margin: float = MARGIN) -> tuple[Rank, ...]:
    """Ranks of `cells`, fastest first, with ties; the baseline is ranked only if it is among them.

    All pairs are compared, so their p-values are adjusted by Holm's method (1979): the chance that any pair
    at all is wrongly called different is at most 5 %. Equivalent cells are tied. Ties are not transitive (a ~ b and
    b ~ c with a < c), which is why each cell names its own.

    Raises:
        UsageError: two cells have one name.
    """
    names = [cell.cell for cell in cells]
    if len(set(names)) != len(names):
        raise UsageError("cells to rank must have different names")
    pairs = [(i, j) for i in range(len(cells)) for j in range(i + 1, len(cells))]
    estimates = [_pair_estimate(cells[i], cells[j], baseline) for i, j in pairs]
    tested = sorted((p, k) for k, found in enumerate(estimates) if found is not None and (p := found.p_value) is not None)
    faster_than: list[set[int]] = [set() for _ in cells]  # i is in faster_than[j] when i was shown to beat j
    for position, (p, k) in enumerate(tested):
        if p * (len(pairs) - position) > FAMILY_ERROR:
            break
        found = estimates[k]
        if judge(found, margin).verdict is not Verdict.EQUIVALENT and found is not None:
            i, j = pairs[k]
            winner, loser = (j, i) if found.log > 0 else (i, j)  # log(i / j) > 0: i takes longer
            faster_than[loser].add(winner)
    ranks = [
        Rank(
            names[i],
            1 + len(faster_than[i]),
            tuple(names[j] for j in range(len(cells)) if j != i and j not in faster_than[i] and i not in faster_than[j]),
        )
        for i in range(len(cells))
    ]
    return tuple(sorted(ranks, key=lambda entry: entry.rank))
