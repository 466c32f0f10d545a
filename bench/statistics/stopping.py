"""When a cell, and when a run, has been timed enough.

Both are asked only at *looks*, after 4, 6, 8, 12, 16, 24, ... rounds: whoever looks after every round picks the moments
when the samples look calmer than they are (simulated: coverage falls to 87 %).

**Elimination.** Every cell is compared with the leader, the one with the best ratio so far. It is out when it is slower
by more than the margin with an error that all looks at all cells share: at look j of m cells each test may be wrong with
probability `ERROR` / (m j (j + 1)), which sums to at most `ERROR` over any number of looks (Bonferroni; the spending is
that of successive elimination, Even-Dar, Mannor & Mansour 2006, with Student's t in place of Hoeffding's bound). What is
out keeps its ratio, with the wider interval of fewer rounds; the pairs that matter get its time.

`python -m depthport.bench.studies.simulate` prints how often the fastest cell is lost, and what the intervals cover.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from depthport.bench.statistics.estimate import Estimate, RoundTable, log_ratio_of_rounds
from depthport.bench.statistics.replicates import LAUNCH_NOISE

ERROR = 0.05
"""Chance, at most, that any cell is put out that is not slower than the leader."""
FIRST_LOOK = 4
FEWEST_TO_STOP = 8
"""Rounds from which a narrow interval ends a run."""


def look_number(rounds: int) -> int | None:
    """1, 2, 3, 4, 5, ... after 4, 6, 8, 12, 16, ... rounds; None after any other number."""
    for start, offset in ((FIRST_LOOK, 1), (FIRST_LOOK * 3 // 2, 2)):
        times, rest = divmod(rounds, start)
        if rest == 0 and times > 0 and times & (times - 1) == 0:
            return 2 * (times.bit_length() - 1) + offset
    return None


def narrow(estimates: Sequence[Estimate | None], target: float) -> bool:
    """Return whether every log ratio's 95 % interval is at most `target` (0.01: ±1 %) to either side."""
    return bool(estimates) and all(
        found is not None
        and found.half_width is not None
        and found.half_width <= target
        and found.n_rounds >= FEWEST_TO_STOP
        for found in estimates
    )


def lost(
    cells: Mapping[str, RoundTable], baseline: RoundTable, look: int, margin: float, wrong: Collection[str] = ()
) -> list[str]:
    """Names of `cells` that are surely slower than their leader; the leader is never among them.

    Args:
        cells: blocks of those still timed, without the baseline.
        look: which look this is, from 1 on.
        margin: a cell that is slower by no more than this is no loser (0.02 is 2 %).
        wrong: those of `cells` that compute something else: none of them is the leader.
    """
    ratios = {name: found.log for name, table in cells.items() if (found := log_ratio_of_rounds(baseline, table))}
    right = [name for name in ratios if name not in wrong]
    if not right:
        return []
    leader = max(right, key=lambda name: ratios[name])
    return [
        name
        for name in ratios
        if name != leader and surely_slower(cells[name], cells[leader], error_at(look, len(cells)), margin)
    ]


def error_at(look: int, cells: int) -> float:
    """The share of `ERROR` that one test at this look may spend."""
    return ERROR / (cells * look * (look + 1))


def surely_slower(
    cell: RoundTable, leader: RoundTable, error: float, margin: float, launch_noise: float = LAUNCH_NOISE
) -> bool:
    """Return whether log(cell / leader) is above the margin, wrongly with probability `error` at most."""
    behind = log_ratio_of_rounds(cell, leader, launch_noise)
    interval = None if behind is None else behind.interval(1.0 - 2.0 * error)
    return interval is not None and interval[0] > math.log1p(margin)
