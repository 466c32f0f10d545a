"""Runs of the protocol on a simulated clock: bias, coverage, false positives and power of a design.

The samples come from `depthport.bench.studies.simulated_clock`; the intervals and verdicts are those of
`depthport.bench.statistics.estimate` and `depthport.bench.statistics.verdict`, the functions that real runs use.
`python -m depthport.bench.studies.simulate` prints the tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from depthport.bench.plan.schedule import Order
from depthport.bench.statistics.estimate import Estimate, Round, RoundTable, estimate_ratio, log_ratio_of_rounds
from depthport.bench.statistics.replicates import batch_means, latency_batches, latency_error, mean_and_error
from depthport.bench.statistics.samples import FloatArray
from depthport.bench.statistics.stopping import look_number, lost, narrow
from depthport.bench.statistics.student_t import student_t_quantile
from depthport.bench.statistics.verdict import MARGIN, Verdict, judge
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


def log_blocks(cell: FloatArray) -> FloatArray:
    """A cell's rounds: the mean of its log block medians, float64 (runs, launches, rounds)."""
    rounds: FloatArray = np.median(cell, axis=-1).mean(axis=-1)
    return rounds


def paired(baseline: FloatArray, cell: FloatArray) -> list[Estimate]:
    """`estimate_log_ratio` of every run (a test holds the two equal)."""
    return [estimate_ratio(list(launches)) for launches in log_blocks(baseline) - log_blocks(cell)]


def paired_by_round(baseline: FloatArray, cell: FloatArray) -> list[Estimate]:
    """Round-robin harnesses: rounds are paired and taken as independent, whatever process they came from."""
    blocks = log_blocks(baseline) - log_blocks(cell)
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


def stop_rule(target: float, clock: Clock, rounds: int = 96, runs: int = RUNS, seed: int = 0) -> tuple[float, float]:
    """Coverage (of the twin's interval) and mean share of one launch of `rounds` used when `narrow` may end the run."""
    log, turns = simulate_samples(Sampling(1, rounds, 2, Order.MIRRORED), clock, runs, seed)
    baseline, twin = (log_blocks(cell_blocks(log, turns, cell))[:, 0] for cell in (0, 1))
    covered, used = 0, 0
    for series in baseline - twin:
        looks = [n for n in range(1, rounds + 1) if look_number(n)]
        ends = (n for n in looks if narrow([estimate_ratio([series[:n]])], target))
        end = next(ends, rounds)
        interval = estimate_ratio([series[:end]]).interval()
        covered += interval is not None and interval[0] <= 0.0 <= interval[1]
        used += end
    return covered / runs, used / (runs * rounds)


RIVALS = {"leader": 0.4, "close": 0.412, "behind": 0.45, "slow": 0.8}
"""Latencies beside a baseline's 1: the second is 3 % slower than the first."""


@dataclass(frozen=True)
class Race:
    """Results over many runs in which cells that have surely lost stop being timed."""

    coverage: dict[str, float]
    """Share of 95 % intervals of baseline / cell that hold the truth."""
    bias: dict[str, float]
    leader_lost: float
    """Share of runs that put the fastest cell out."""
    timed: float
    """Share of all cells' rounds that were timed."""


def race(clock: Clock, launches: int = 1, rounds: int = 24, runs: int = RUNS, seed: int = 0) -> Race:
    """Simulate runs of `RIVALS` with elimination (bench/statistics/stopping.py)."""
    cells = ("baseline", *RIVALS)
    truth = np.log([1.0, *RIVALS.values()])
    sampling = Sampling(launches, rounds, 1, Order.MIRRORED, cells)
    covered, bias = dict.fromkeys(RIVALS, 0), dict.fromkeys(RIVALS, 0.0)
    leader_lost = timed = 0
    for start in range(0, runs, _CHUNK):
        log, turns = simulate_samples(sampling, clock, min(_CHUNK, runs - start), seed + start, truth)
        values = [log_blocks(cell_blocks(log, turns, cell)) for cell in range(len(cells))]
        for run in range(len(log)):
            whole = {name: values[i][run] for i, name in enumerate(cells)}
            kept = race_of(whole)
            leader_lost += kept["leader"] < launches * rounds
            timed += sum(kept.values())
            base = first_rounds(whole["baseline"], launches * rounds)
            for i, name in enumerate(RIVALS, start=1):
                found = log_ratio_of_rounds(base, first_rounds(whole[name], kept[name]))
                interval = found.interval() if found is not None else None
                assert found is not None
                bias[name] += math.expm1(found.log + truth[i])
                covered[name] += interval is not None and interval[0] <= -truth[i] <= interval[1]
    return Race(
        {name: n / runs for name, n in covered.items()},
        {name: total / runs for name, total in bias.items()},
        leader_lost / runs,
        timed / (runs * launches * rounds * len(RIVALS)),
    )


def race_of(whole: Mapping[str, FloatArray], margin: float = MARGIN) -> dict[str, int]:
    """Rounds that each rival is timed for, of its log latencies, float64 (launches, rounds), and the `baseline`'s."""
    total = whole["baseline"].size
    kept = {name: total for name in whole if name != "baseline"}
    for n in range(1, total):
        look = look_number(n)
        if look is None:
            continue
        racing = {name: first_rounds(whole[name], n) for name, end in kept.items() if end == total}
        for name in lost(racing, first_rounds(whole["baseline"], n), look, margin):
            kept[name] = n
    return kept


def first_rounds(log: FloatArray, n: int) -> RoundTable:
    """The first n rounds of float64 (launches, rounds), as pairing takes them."""
    rounds = log.shape[1]
    table: RoundTable = {}
    for i in range(n):
        table.setdefault(i // rounds, {})[i % rounds] = Round(float(log[i // rounds, i % rounds]), 1)
    return table


def latency_coverage(
    sampling: Sampling, clock: Clock, runs: int = RUNS, seed: int = 0, log_latency: FloatArray = TRUE_LOG_LATENCY
) -> tuple[float, float]:
    """Coverage and median half-width of `estimate_log_latency` of the first cell, for all runs at once."""
    log, turns = simulate_samples(sampling, clock, runs, seed, log_latency)
    rounds = np.median(cell_blocks(log, turns, 0), axis=-1).mean(axis=-1)
    batches, widened = latency_batches(sampling.launches, sampling.rounds, sampling.turns)
    values = batch_means(rounds, batches).reshape(len(rounds), -1)
    mean, error = mean_and_error(values)
    n, per_round = values.shape[-1], float(sampling.turns)
    errors = [latency_error(widened * one, n, sampling.launches, per_round) for one in error.tolist()]
    half = np.array([student_t_quantile(0.975, df) * one for one, df in errors])
    return float(np.mean(np.abs(mean - log_latency[0]) <= half)), float(np.median(half))
