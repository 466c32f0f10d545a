"""Detection of the end of warm-up, and of drift.

Some programs never settle (Barrett et al., "Virtual machine warmup blows hot and cold", OOPSLA 2017), so "no steady
state" is a finding, reported with what was measured; it is not a failure and not hidden by a fixed count of warm-ups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depthport.bench.statistics.estimate import latency_rounds
from depthport.bench.statistics.replicates import batch_means
from depthport.bench.statistics.samples import CellSamples, FloatArray, Samples, as_samples
from depthport.bench.statistics.student_t import student_t_quantile
from depthport.exporters.core.errors import UsageError

WINDOW, TOLERANCE = 5, 0.01
DRIFT_BATCHES = 10
DRIFT_PER_MINUTE = 0.005
"""Change of latency a minute, relative, above which a cell counts as drifting: the margin of ±2 % is used up in four."""
_NOISE_WINDOW = 3
"""Windows shorter than this cannot tell noise from warm-up."""


def steady_state(samples: Samples, window: int = WINDOW, tolerance: float = TOLERANCE) -> int | None:
    """Index of the first steady sample of a growing series float (n,), or None: not (yet) steady.

    Two consecutive windows agree when their medians differ by less than `tolerance` (relative), or by less than two
    standard errors of that difference. The noise is taken from successive differences (von Neumann 1941; median, so
    spikes do not count), which a slow trend hardly moves: a warm-up is not mistaken for noise. Windows of one or two
    samples have no such estimate and use the tolerance alone. The steady state starts with the second window, since the
    median of the first may hide one slow call at its start. More samples never change an index once found, so the
    caller may ask after every sample; the first call of a session is not part of the series.

    Raises:
        UsageError: `window` < 1, `tolerance` not above zero, or a sample is not a latency.
    """
    if window < 1 or not tolerance > 0.0:
        raise UsageError(f"steady state needs window >= 1 and tolerance > 0, got {window}, {tolerance}")
    log = np.log(as_samples(samples))
    if len(log) < 2 * window:
        return None
    medians = np.median(np.lib.stride_tricks.sliding_window_view(log, window), axis=-1)
    gaps = np.abs(medians[window:] - medians[:-window])
    allowed = np.full(len(gaps), math.log1p(tolerance))
    if window >= _NOISE_WINDOW:
        steps = np.abs(np.diff(log))
        step = np.median(np.lib.stride_tricks.sliding_window_view(steps, 2 * window - 1), axis=-1)
        sigma = step / (0.6745 * math.sqrt(2.0))  # a difference of two normals has sqrt(2) sigma
        median_error = math.sqrt(math.pi / 2.0) * sigma / math.sqrt(window)
        allowed = np.maximum(allowed, 2.0 * math.sqrt(2.0) * median_error)
    agree = gaps <= allowed
    return int(np.argmax(agree)) + window if agree.any() else None


@dataclass(frozen=True)
class Drift:
    """`change` of latency from a run's first to last replicate, relative: 0.05 is 5 % slower at the end."""

    change: float
    ci95: tuple[float, float]

    @property
    def detected(self) -> bool:
        """True if the interval leaves out 0."""
        return self.ci95[0] > 0.0 or self.ci95[1] < 0.0


def is_drifting(per_minute: float | None) -> bool:
    """Return whether latency changes by more than `DRIFT_PER_MINUTE`; False where no change was significant (None)."""
    return per_minute is not None and abs(per_minute) > DRIFT_PER_MINUTE


def slope_estimate(values: FloatArray) -> tuple[float, float]:
    """Least-squares change of float (n,), n >= 3, from first to last, and its standard error (n - 2 df)."""
    n = len(values)
    time = np.linspace(-0.5, 0.5, n)
    power = float(time @ time)
    slope = float(time @ values) / power
    residual = values - values.mean() - slope * time
    return slope, math.sqrt(max(float(residual @ residual), 0.0) / ((n - 2) * power))


def drift(cell: CellSamples) -> Drift | None:
    """Change of latency over a run, by the slope over replicates; None with fewer than 3.

    Replicates are launches, or up to `DRIFT_BATCHES` batches of the rounds of one launch. A trend test over rounds
    (Mann-Kendall) would take the steps between launches, and correlated rounds, for a trend.
    """
    launches = latency_rounds(cell)
    one = len(launches) == 1
    values = batch_means(launches[0], DRIFT_BATCHES) if one else np.array([rounds.mean() for rounds in launches])
    if len(values) < 3:
        return None
    slope, error = slope_estimate(values)
    half = student_t_quantile(0.975, len(values) - 2) * error
    return Drift(math.expm1(slope), (math.expm1(slope - half), math.expm1(min(slope + half, 700.0))))
