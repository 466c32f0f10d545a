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

from depthport.bench.statistics.samples import FloatArray

ERROR = 1.6
"""Measured beside loads that pause and one that does not, against the same cells on the idle machine: 1.6 (18 ratios of
OpenVINO, ONNX Runtime and PyTorch, two threads, 70x98 and 504x504), from -3.6 (ONNX Runtime, whose threads spin) to 0.4."""
QUIET = 0.025
"""Share in doubt up to which a block counts as quiet: that of two threads that waited 5 % of the time."""
FEWEST = 2
"""Blocks of either kind from which they tell anything."""
DRIFT = 0.01
"""Standard deviation of a machine's speed between a cell's quiet blocks and the others, beyond what they show (log)."""


def wrong_by(logs: FloatArray, doubt: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation of `e`, as far as the blocks tell.

    Args:
        logs, doubt: log times and shares in doubt of a cell's blocks, float64 (n,).
    """
    quiet, others = ((logs[of], doubt[of]) for of in (doubt <= QUIET, doubt > QUIET))
    counts = len(quiet[0]), len(others[0])
    if min(counts) < FEWEST:
        return 0.0, ERROR
    share = float(others[1].mean() - quiet[1].mean())
    apart = float(others[0].mean() - quiet[0].mean()) / share
    spread = sum(float(part.var()) * len(part) for part, _ in (quiet, others)) / (sum(counts) - 2)
    variance = (spread * (1.0 / counts[0] + 1.0 / counts[1]) + DRIFT**2) / share**2
    known = ERROR**2 / (ERROR**2 + variance)
    return known * apart, math.sqrt(known * variance)


def mended(logs: FloatArray, doubt: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log times without what the guess made of them, and the standard deviation of what is left: both float64 (n,)."""
    mean, deviation = wrong_by(logs, doubt)
    return logs - mean * doubt, deviation * doubt
