"""Analysis of sustained and fixed-rate runs: latency over time, throttling, missed deadlines. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from depthport.bench.results.regimes import FixedRateSummary, Onset, SustainedSummary, Window
from depthport.bench.statistics.samples import FloatArray, percentile
from depthport.bench.statistics.student_t import student_t_quantile
from depthport.bench.workers.messages import FixedRateResult, SustainedResult
from depthport.exporters.core.errors import UsageError

WINDOW_S = 10.0
EDGE_S = 60.0
MIN_SAMPLES = 3
"""A window is long enough for so many samples, an edge for so many windows."""
ONSET_RATIO = 1.03
"""A step up of latency smaller than this is not called throttling."""
ONSET_SIGMAS = 2.5
_BEFORE, _AFTER = 2, 3
"""Windows at least before and after an onset."""
_Z95 = 1.959963984540054
_MAX_CORRELATION = 0.95


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share `hits / n`, n >= 1 (Wilson 1927).

    Raises:
        UsageError: `hits` is not between 0 and `n`.
    """
    if not 0 <= hits <= n or n < 1:
        raise UsageError(f"a share needs 0 <= hits <= n and n >= 1, got {hits} of {n}")
    z2 = _Z95**2
    centre = (hits + z2 / 2) / (n + z2)
    half = _Z95 / (n + z2) * math.sqrt(hits * (n - hits) / n + z2 / 4)
    return (0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half)


def summarize_sustained(result: SustainedResult, window_s: float = WINDOW_S, edge_s: float = EDGE_S) -> SustainedSummary:
    """Windows, first against last minute, and the onset of throttling.

    Windows grow until they hold `MIN_SAMPLES` samples of the median length, edges until they hold as many
    windows. The ratio is of the windows' medians; its interval allows for noise that lasts (`_edge_ratio`).

    Raises:
        UsageError: the result holds no sample.
    """
    if not result.start_ns:
        raise UsageError("a sustained run without a sample has no summary")
    start_s = (np.asarray(result.start_ns, dtype=np.float64) - result.start_ns[0]) / 1e9
    sample_s = np.asarray(result.sample_ns, dtype=np.float64) / 1e9
    ms = sample_s * 1e3
    seconds = float(start_s[-1] + sample_s[-1])
    window_s = max(window_s, MIN_SAMPLES * float(np.median(sample_s)))
    number = max(1, math.floor(seconds / window_s + 1e-9))
    # What is left after the last whole window belongs to it.
    of_window = np.minimum((start_s / window_s).astype(np.int64), number - 1)
    windows = tuple(_windows(start_s, ms, of_window))
    edge = max(MIN_SAMPLES, round(edge_s / window_s))
    known = 2 * edge <= len(windows)
    log = np.log([window.median_ms for window in windows])
    onset = find_onset(windows)
    ratio, ci95 = _edge_ratio(log, edge, onset) if known else (None, None)
    return SustainedSummary(
        seconds=seconds,
        n=len(ms),
        window_s=window_s,
        windows=windows,
        edge_s=edge * window_s,
        first_ms=float(np.median(ms[start_s < windows[edge].start_s])) if known else None,
        last_ms=float(np.median(ms[start_s >= windows[-edge].start_s])) if known else None,
        ratio=ratio,
        ratio_ci95=ci95,
        onset=onset,
    )


def find_onset(windows: tuple[Window, ...]) -> Onset | None:
    """The step up that explains the windows' medians best, if there is one worth the name.

    Of all splits into a level before and a level after (medians, of the logs), the one with the least
    absolute error; it counts where the level rises by 3 % or more and by 2.5 robust standard deviations of
    what the two levels leave unexplained. None with fewer than five windows.
    """
    log = np.log([window.median_ms for window in windows])
    splits = range(_BEFORE, len(log) - _AFTER + 1)
    if not splits:
        return None
    at = min(splits, key=lambda k: float(np.abs(_residual(log, k)).sum()))
    rise = float(np.median(log[at:]) - np.median(log[:at]))
    sigma = float(np.median(np.abs(_residual(log, at)))) / 0.6745
    if rise < math.log(ONSET_RATIO) or rise < ONSET_SIGMAS * sigma:
        return None
    return Onset(at, windows[at].start_s, math.exp(rise))


def summarize_fixed_rate(result: FixedRateResult) -> FixedRateSummary:
    """Misses, lateness and latency of a fixed-rate run."""
    served = len(result.done_ns)
    due = np.array([result.due_ns(frame) for frame in range(result.frames + 1)], dtype=np.int64)
    start, done = np.array(result.start_ns, dtype=np.int64), np.array(result.done_ns, dtype=np.int64)
    lateness = done - due[1 : served + 1]
    missed = int((lateness > 0).sum()) + result.frames - served
    worst = max(0, int(lateness.max(initial=0)))
    if served < result.frames and served:
        worst = max(worst, int(done[-1] - due[served + 1]))
    # A worker is free for a frame from its arrival or from the end of the one before, whichever is later.
    free = np.maximum(due[:served], np.concatenate([due[:1], done[:-1]])) if served else due[:0]
    quantiles = {q: _latency_ms(result, due, done, q) for q in (0.5, 0.95, 0.99)}
    return FixedRateSummary(
        rate_hz=result.rate_hz,
        frames=result.frames,
        served=served,
        missed=missed,
        miss_share=missed / result.frames,
        miss_share_ci95=wilson_interval(missed, result.frames),
        worst_lateness_ms=worst / 1e6,
        p50_ms=quantiles[0.5],
        p95_ms=quantiles[0.95],
        p99_ms=quantiles[0.99],
        service_ms=float(np.median(done - start)) / 1e6 if served else None,
        achieved_hz=served / (int(max(done[-1], due[served]) - due[0]) / 1e9) if served else None,
        keeps_up=served == result.frames and int(lateness[-1]) <= 0,
        timer_late_ms=float((start - free).max(initial=0)) / 1e6,
    )


def _windows(start_s: FloatArray, ms: FloatArray, of_window: np.ndarray) -> Iterator[Window]:
    """One per stretch that holds a sample (a call longer than a window leaves gaps)."""
    for number in np.unique(of_window):
        inside = of_window == number
        values = ms[inside]
        yield Window(float(start_s[inside][0]), len(values), float(np.median(values)), float(values.max()))


def _edge_ratio(log: FloatArray, edge: int, onset: Onset | None) -> tuple[float, tuple[float, float]]:
    """Last over first `edge` windows, exp of the difference of mean logs, with its 95 % interval.

    Noise that lasts from one window into the next makes a minute worth fewer windows than it has. So the
    noise is judged on the whole run: what a straight line (and the step, if there is one) leaves unexplained,
    as AR(1), its correlation corrected for the fit (Kendall 1954), gives the variance of an edge's mean and
    the degrees of freedom (Zwiers & von Storch 1995).
    """
    n = len(log)
    terms = [np.ones(n), np.linspace(-1.0, 1.0, n)]
    if onset is not None:
        terms.append((np.arange(n) >= onset.window).astype(np.float64))
    design = np.stack(terms, axis=1)
    noise = log - design @ np.linalg.lstsq(design, log, rcond=None)[0]
    power = float(noise @ noise)
    difference = float(log[-edge:].mean() - log[:edge].mean())
    if power <= 1e-24:
        return math.exp(difference), (math.exp(difference), math.exp(difference))
    rho = float(noise[1:] @ noise[:-1]) / power
    rho = min(max(rho + (1 + rho) * len(terms) / n, 0.0), _MAX_CORRELATION)
    inflation = 1 + 2 * sum((1 - lag / edge) * rho**lag for lag in range(1, edge))
    error = math.sqrt(2 * power / (n - len(terms)) * inflation / edge)
    freedom = max(2.0, n * (1 - rho) / (1 + rho) - len(terms))
    half = student_t_quantile(0.975, freedom) * error
    return math.exp(difference), (math.exp(difference - half), math.exp(difference + half))


def _residual(log: FloatArray, at: int) -> FloatArray:
    """Return what a level before and a level after `at` leave unexplained."""
    return np.concatenate([log[:at] - np.median(log[:at]), log[at:] - np.median(log[at:])])


def _latency_ms(result: FixedRateResult, due: np.ndarray, done: np.ndarray, q: float) -> float | None:
    if len(done) < result.frames:
        return None
    found = percentile(done - due[:-1], q)
    return found.value / 1e6 if found is not None else None
