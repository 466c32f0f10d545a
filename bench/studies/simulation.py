"""Runs of the protocol on a simulated clock: bias, coverage, false positives and power of a design.

The samples come from `depthport.bench.studies.simulated_clock`; the intervals and verdicts are those of
`depthport.bench.statistics.estimate` and `depthport.bench.statistics.verdict`, the functions that real runs use.
`python -m depthport.bench.studies.simulate` prints the tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depthport.bench.plan.schedule import Order
from depthport.bench.statistics.estimate import (
    Estimate,
    batch_means,
    latency_batches,
    mean_and_error,
    midmean,
    ratio_batches,
)
from depthport.bench.statistics.samples import FloatArray
from depthport.bench.statistics.steady_state import should_stop
from depthport.bench.statistics.student_t import student_t_quantile
from depthport.bench.statistics.verdict import Verdict, judge
from depthport.bench.studies.simulated_clock import CELLS, TRUE_LOG_LATENCY, Clock, Sampling, cell_blocks, simulate_samples

RUNS = 1000
_CHUNK = 250

MAX_BIAS = 0.001
COVERAGE = 0.93, 0.97
MAX_FALSE_POSITIVE = 0.05
MIN_POWER = 0.95
DEFAULT = Sampling(5, 5, 5, Order.MIRRORED)
"""The design that the bars are held against."""

Estimator = Callable[[FloatArray, FloatArray], list[Estimate]]
"""Function of log samples (runs, launches, rounds, blocks, samples) of baseline and cell: one estimate per run."""


@dataclass(frozen=True)
class Outcome:
    """Results over `runs` runs. Per-cell figures are in the order twin, plus5, double."""

    runs: int
    bias: tuple[float, ...]
    """Mean of estimated / true ratio, minus 1."""
    coverage: tuple[float, ...]
    """Share of 95 % intervals that hold the truth."""
    half_width: float
    """Median half-width, on the log scale."""
    false_positive: float
    """Share of runs that call the twin faster or slower."""
    equivalent: float
    """Share of runs that call the twin equivalent."""
    power: float
    """Share of runs that call the 5 % slower cell slower."""

    @property
    def worst_bias(self) -> float:
        return max(self.bias, key=abs)

    def failures(self) -> list[str]:
        """The bars missed, a line each; false positives may exceed theirs by two standard errors."""
        slack = 2.0 * math.sqrt(MAX_FALSE_POSITIVE * (1.0 - MAX_FALSE_POSITIVE) / self.runs)
        found = []
        if abs(self.worst_bias) > MAX_BIAS:
            found.append(f"bias {self.worst_bias:+.3%} is beyond {MAX_BIAS:.1%}")
        found += [f"coverage {c:.1%} is not in 93-97 %" for c in self.coverage if not COVERAGE[0] <= c <= COVERAGE[1]]
        if self.false_positive > MAX_FALSE_POSITIVE + slack:
            found.append(f"{self.false_positive:.1%} of A/A runs are called faster or slower")
        if self.power < MIN_POWER:
            found.append(f"+5 % is found in {self.power:.1%} of runs")
        return found


def _estimates(mean: FloatArray, error: FloatArray, df: float, launches: int, rounds: int) -> list[Estimate]:
    pairs = zip(mean.tolist(), error.tolist(), strict=True)
    return [Estimate(m, e, df, launches, launches * rounds) for m, e in pairs]


def paired(baseline: FloatArray, cell: FloatArray) -> list[Estimate]:
    """`estimate_log_ratio` for all runs at once (a test holds the two equal)."""
    blocks = np.median(baseline, axis=-1).mean(axis=-1) - np.median(cell, axis=-1).mean(axis=-1)
    _, launches, rounds = blocks.shape
    values = midmean(blocks) if launches > 1 else batch_means(blocks[:, 0], ratio_batches(rounds), midmean)
    return _estimates(*mean_and_error(values), values.shape[-1] - 1, launches, rounds)


def paired_by_round(baseline: FloatArray, cell: FloatArray) -> list[Estimate]:
    """Round-robin harnesses: rounds are paired and taken as independent, whatever process they came from."""
    blocks = np.median(baseline, axis=-1).mean(axis=-1) - np.median(cell, axis=-1).mean(axis=-1)
    runs, launches, rounds = blocks.shape
    values = blocks.reshape(runs, -1)
    return _estimates(*mean_and_error(values), values.shape[-1] - 1, launches, rounds)


def unpaired_by_sample(baseline: FloatArray, cell: FloatArray) -> list[Estimate]:
    """The usual comparison: two series of samples, taken as independent (Welch, equal counts)."""
    runs, launches, rounds = baseline.shape[:3]
    (a, error_a), (b, error_b) = (mean_and_error(x.reshape(runs, -1)) for x in (baseline, cell))
    df = 2.0 * (baseline[0].size - 1)
    return _estimates(a - b, np.hypot(error_a, error_b), df, launches, rounds)


def run_design(sampling: Sampling, clock: Clock, estimator: Estimator = paired, runs: int = RUNS, seed: int = 0) -> Outcome:
    """Simulate `runs` runs of a design and judge every cell against the baseline."""
    estimates: list[list[Estimate]] = [[] for _ in CELLS[1:]]
    for start in range(0, runs, _CHUNK):
        log, turns = simulate_samples(sampling, clock, min(_CHUNK, runs - start), seed + start)
        blocks = [cell_blocks(log, turns, cell) for cell in range(len(CELLS))]
        for cell, found in enumerate(estimates, start=1):
            found += estimator(blocks[0], blocks[cell])
    return summarize(estimates)


def summarize(estimates: list[list[Estimate]]) -> Outcome:
    """`estimates` holds one list of runs for each cell but the baseline."""
    truth = TRUE_LOG_LATENCY[0] - TRUE_LOG_LATENCY[1:]
    bias, coverage, widths = [], [], []
    for true, found in zip(truth.tolist(), estimates, strict=True):
        bias.append(float(np.mean([math.expm1(e.log - true) for e in found])))
        intervals = [interval for e in found if (interval := e.interval()) is not None]
        coverage.append(sum(low <= true <= high for low, high in intervals) / len(found))
        widths += [(high - low) / 2.0 for low, high in intervals]
    twin = [judge(e).verdict for e in estimates[CELLS.index("twin") - 1]]
    plus5 = [judge(e).verdict for e in estimates[CELLS.index("plus5") - 1]]
    runs = len(twin)
    return Outcome(
        runs,
        tuple(bias),
        tuple(coverage),
        float(np.median(widths)),
        false_positive=(twin.count(Verdict.FASTER) + twin.count(Verdict.SLOWER)) / runs,
        equivalent=twin.count(Verdict.EQUIVALENT) / runs,
        power=plus5.count(Verdict.SLOWER) / runs,
    )


def stop_rule(
    target: float, clock: Clock, launches: int = 20, rounds: int = 3, runs: int = RUNS, seed: int = 0
) -> tuple[float, float]:
    """Coverage (of the twin's interval) and mean share of the plan used when `should_stop` may end the run.

    The plan is `launches` launches of `rounds` rounds; with one launch the rule is asked after every round.
    """
    log, turns = simulate_samples(Sampling(launches, rounds, 2, Order.MIRRORED), clock, runs, seed)
    baseline, twin = (cell_blocks(log, turns, cell) for cell in (0, 1))
    if launches > 1:
        looks = [paired(baseline[:, :n], twin[:, :n]) for n in range(2, launches + 1)]
    else:
        looks = [paired(baseline[:, :, :n], twin[:, :, :n]) for n in range(2, rounds + 1)]
    planned = launches if launches > 1 else rounds
    covered, used = 0, 0
    for run in zip(*looks, strict=True):
        for n, found in enumerate(run, start=2):
            if should_stop([found], float(n), planned_launches=launches, target=target, budget_s=float(planned)):
                interval = found.interval()
                covered += interval is not None and interval[0] <= 0.0 <= interval[1]
                used += n
                break
    return covered / runs, used / (runs * planned)


def latency_coverage(sampling: Sampling, clock: Clock, runs: int = RUNS, seed: int = 0) -> tuple[float, float]:
    """Coverage and median half-width of `estimate_log_latency`, for all runs at once."""
    log, turns = simulate_samples(sampling, clock, runs, seed)
    rounds = np.median(cell_blocks(log, turns, 0), axis=-1).mean(axis=-1)
    one = sampling.launches == 1
    values = batch_means(rounds[:, 0], latency_batches(sampling.rounds)) if one else rounds.mean(axis=-1)
    mean, error = mean_and_error(values)
    half = student_t_quantile(0.975, values.shape[-1] - 1) * error
    return float(np.mean(np.abs(mean - TRUE_LOG_LATENCY[0]) <= half)), float(np.median(half))
