"""What a guess by which waiting was taken off a cell's times is wrong by, as its quiet blocks tell.

How the waiting of threads that work together adds up is not known (bench/workers/waiting.py): some work on while another
waits, others spin until it is back. So the log of a calm time is wrong by `e` for each share that was taken off by a guess,
and `e` is a cell's own. Before anything is known of it, it is drawn from a normal distribution around 0 of standard
deviation `ERROR`. Where a cell has quiet blocks too, the others tell: what they come out at beside the quiet ones is `e`
times their share. Both are combined by their variances (Gelman et al., *Bayesian Data Analysis*, section 2.5). How blocks
that all waited differ from each other tells nothing: what made one wait longer made it slower, too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from depthport.bench.statistics.samples import FloatArray

ERROR = 1.6
"""Measured beside loads that pause and one that does not, against the same cells on the idle machine: 1.6 (18 ratios of
OpenVINO, ONNX Runtime and PyTorch, two threads, 70x98 and 504x504), from -3.6 (ONNX Runtime, whose threads spin) to 0.4."""
QUIET = 0.05
"""Share in doubt up to which a block counts as quiet: that of two threads that waited a tenth of the time. Beside a program
that never pauses none is (a third, measured)."""
FEWEST = 2
"""Blocks of either kind from which they tell anything."""
DRIFT = 0.01
"""Standard deviation of a machine's speed between a cell's quiet blocks and the others, beyond what they show (log)."""


class Guess(NamedTuple):
    """What is known of a cell's `e`."""

    mean: float = 0.0
    deviation: float = ERROR


UNTOLD = Guess()
"""Before anything is known."""


def wrong_by(logs: FloatArray, doubt: FloatArray) -> Guess:
    """What a cell's blocks tell of its `e`.

    Args:
        logs, doubt: their log times and shares in doubt, float64 (n,).
    """
    quiet, others = ((logs[of], doubt[of]) for of in (doubt <= QUIET, doubt > QUIET))
    counts = len(quiet[0]), len(others[0])
    if min(counts) < FEWEST:
        return UNTOLD
    share = float(others[1].mean() - quiet[1].mean())
    apart = float(others[0].mean() - quiet[0].mean()) / share
    spread = sum(float(part.var()) * len(part) for part, _ in (quiet, others)) / (sum(counts) - 2)
    variance = (spread * (1.0 / counts[0] + 1.0 / counts[1]) + DRIFT**2) / share**2
    known = ERROR**2 / (ERROR**2 + variance)
    return Guess(known * apart, math.sqrt(known * variance))


def shared(one: Guess, other: Guess) -> Guess:
    """What two cells tell that run in one process, so that their `e` is the same."""
    precisions = one.deviation**-2, other.deviation**-2
    precision = sum(precisions) - ERROR**-2  # what was known before counts once
    return Guess((precisions[0] * one.mean + precisions[1] * other.mean) / precision, precision**-0.5)
