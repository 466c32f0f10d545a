"""How wrong a cell's times are that waiting was taken off by a guess.

How the waiting of threads that work together adds up is not known (bench/workers/waiting.py): some work on while another
waits, others spin until it is back. So the log of a calm time is wrong by `e` for each share that was taken off by a guess,
and `e` is a cell's own. Before anything is known of it, it is drawn from a normal distribution around 0 of standard
deviation `ERROR`. Where a cell has quiet blocks too, the others tell: what they come out at beside the quiet ones is `e`
times their share. Both are combined by their variances (Gelman et al., *Bayesian Data Analysis*, section 2.5).
"""

from __future__ import annotations

import math

from depthport.bench.statistics.samples import FloatArray

ERROR = 1.5
"""Measured beside loads that pause and one that does not, against the same cells on the idle machine: 1.5 (18 ratios of
OpenVINO, ONNX Runtime and PyTorch, two threads, 70x98 and 504x504), from -3.6 (ONNX Runtime, whose threads spin) to 0.4."""
QUIET = 0.025
"""Share in doubt up to which a block counts as quiet: that of two threads that waited 5 % of the time."""
FEWEST = 3
"""Blocks of either kind from which they tell anything."""
DRIFT = 0.03
"""Standard deviation of a machine's speed between a cell's quiet blocks and the others, beyond what they show (log)."""


def guess_error(logs: FloatArray, doubt: FloatArray) -> float:
    """Root mean square of `e` as far as the blocks tell, from their log times and shares in doubt, float64 (n,)."""
    quiet = doubt <= QUIET
    if min(quiet.sum(), (~quiet).sum()) < FEWEST:
        return ERROR
    share = float(doubt[~quiet].mean() - doubt[quiet].mean())
    apart = float(logs[~quiet].mean() - logs[quiet].mean()) / share
    squares = sum(float(part.var(ddof=1)) / len(part) for part in (logs[quiet], logs[~quiet]))
    variance = (squares + DRIFT**2) / share**2
    known = ERROR**2 / (ERROR**2 + variance)
    return math.hypot(known * apart, math.sqrt(known * variance))
