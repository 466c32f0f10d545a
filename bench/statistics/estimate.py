"""Means on the log scale with an honest standard error: of one cell's latency, and of the ratio of two cells.

Latencies multiply (a hot chip is some per cent slower for every cell), so all arithmetic is on logarithms and
an interval of a ratio is an interval of a difference.

**Two levels.** Neither samples nor rounds are independent measurements of what a user will get: neighbouring samples are
correlated (at 0.9 an interval over samples is sqrt(19) = 4.4 times too narrow), and rounds of one process start share
that start's luck (memory layout, kernels chosen). The variance of a ratio from L launches of R rounds is

    (2 s_launch^2 + s_round^2 / R) / L

s_round is measured within the launches: paired ratios of mirrored and of random rounds are white even where samples are
correlated at 0.9. s_launch can't be measured by the one to three launches that a minute holds, and an interval by them
alone is 4.3 (3 launches) or 12.7 times (2) the standard error. So it begins as `LAUNCH_NOISE`, worth
`LAUNCH_NOISE_DF` degrees of freedom, and what the launches differ by beyond their rounds' noise is pooled with it (an
inverse chi-squared prior; Gelman et al., *Bayesian Data Analysis*, section 2.6), and the prior all but dropped where they
differ by far more than expected. The interval is Student's t with
Satterthwaite's degrees of freedom. With one launch the term is the prior alone: it covers other launches on machines
where they differ by no more than about 1 %, and `Estimate.n_launches` says so.

**Bursts.** On a machine shared with others some blocks are slowed by a third, a few in a row, and a ratio is thrown as
far to either side. So a launch's ratio is the midmean of its rounds' (the mean of the middle half, from 8 rounds on) with
the error of a trimmed mean (Tukey & McLaughlin 1963; Yuen 1974): 84 % as efficient as the mean where noise is normal, and
with half the error where it was not (16 rounds of an ONNX Runtime call on 2 cores of a virtual machine: 1.0 % against
1.5 %). A latency has no such symmetry: bursts are part of it, and a midmean would hide them. Blocks may carry the share of
their time that is left without waiting for a CPU (`Block.calm`); a ratio is then one of calm times.

**Latencies.** The replicate is the launch, or, of fewer than five launches, a *batch* of consecutive rounds (batch means,
Schmeiser 1982): a single cell's latency has no partner to cancel the machine's mood, which moves far more than a process
start's luck. Batches hold two rounds or more where there are several launches (two launches of four rounds cover 94 % where
the blocks of seven cells lie between a cell's own, 91 % of two cells), three or more in a single launch. One of fewer than
15 rounds has too few of those (an interval by two is 12.7 standard errors wide): there each round is a replicate, and the
error is widened for the mood that successive rounds share, by sqrt((1 + c) / (1 - c)) with c = `CORRELATED` to the power of
the blocks in a round: as for calls correlated at 0.9, one a block, without a pause. That covers 93 to 97 % there and more
elsewhere, at a half to a third of the width.

`python -m depthport.bench.studies.simulate` prints the coverage of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from depthport.bench.statistics.samples import CONFIDENCE, CellSamples, FloatArray
from depthport.bench.statistics.student_t import student_t_quantile, student_t_tail
from depthport.exporters.core.errors import UsageError

LATENCY_BATCHES = 5
CORRELATED = 0.9
"""Correlation of one block's machine noise with the next one's, of whatever cell: of all that was seen, the highest."""
LAUNCH_NOISE, LAUNCH_NOISE_DF = 0.008, 5
"""Standard deviation of a log latency between process starts, and the degrees of freedom that this knowledge is worth.
Measured: 0.2 % on a GPU, 0.77 % between 12 pairs of ONNX Runtime processes on a CPU, about 1 % between PyTorch's."""
_TINY = 1e-30
SURPRISE, SURPRISED_DF = 2.0, 1
"""Launches whose variance is this many times what was expected speak for themselves: the prior is worth this little."""
FEWEST_TRIMMED = 8
"""Rounds from which a launch's ratio is their midmean."""

RoundTable = dict[int, dict[int, list[float]]]
"""launch -> round -> log of the median of each block with a steady sample: one, or two in a mirrored round."""


@dataclass(frozen=True)
class Estimate:
    """A mean of replicates on the log scale; `standard_error` and `df` are None where there was only one."""

    log: float
    standard_error: float | None
    df: float | None
    n_launches: int
    n_rounds: int

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """Student's t interval on the log scale, or None where there is no standard error."""
        if self.standard_error is None or self.df is None:
            return None
        half = student_t_quantile(0.5 + confidence / 2.0, self.df) * self.standard_error
        return self.log - half, self.log + half

    @property
    def half_width(self) -> float | None:
        """Half the 95 % interval on the log scale: 0.01 is about ±1 %."""
        interval = self.interval()
        return None if interval is None else (interval[1] - interval[0]) / 2.0

    @property
    def p_value(self) -> float | None:
        """Two-sided, of the hypothesis that the ratio is 1; None where there is no standard error."""
        if self.standard_error is None or self.df is None:
            return None
        if self.standard_error == 0.0:
            return 0.0 if self.log else 1.0
        return 2.0 * student_t_tail(abs(self.log) / self.standard_error, self.df)


def mean_and_error(replicates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and its standard error over the last axis of float (..., n), n >= 2."""
    n = replicates.shape[-1]
    return replicates.mean(axis=-1), replicates.std(axis=-1, ddof=1) / math.sqrt(n)


def mean(values: FloatArray) -> FloatArray:
    """Mean over the last axis: float (..., n) -> (...)."""
    averages: FloatArray = values.mean(axis=-1)
    return averages


def midmean(values: FloatArray) -> FloatArray:
    """The mean without the lowest and the highest quarter, from 8 values on: float (..., n) -> (...)."""
    n, cut = values.shape[-1], _cut(values.shape[-1])
    return mean(np.sort(values, axis=-1)[..., cut : n - cut])


def _cut(n: int) -> int:
    """Values that a midmean of n leaves out on either side."""
    return n // 4 if n >= FEWEST_TRIMMED else 0


def midmean_variance(values: FloatArray) -> tuple[float, int]:
    """N times the squared standard error of the midmean of float (n,), n >= 2, and its degrees of freedom."""
    n, cut = len(values), _cut(len(values))
    kept = n - 2 * cut
    winsorized = np.clip(values, *np.sort(values)[[cut, n - cut - 1]])
    deviations = winsorized - winsorized.mean()
    return n * float(deviations @ deviations) / (kept * (kept - 1)), kept - 1


def batch_means(values: FloatArray, batches: int) -> FloatArray:
    """Means of consecutive, near-equal parts of the last axis: float (..., n) -> (..., min(n, batches))."""
    parts = np.array_split(values, min(batches, values.shape[-1]), axis=-1)
    return np.stack([mean(part) for part in parts], axis=-1)


def latency_batches(n_launches: int, n_rounds: int, round_blocks: float | None = None) -> tuple[int, float]:
    """Replicates in the `n_rounds` unpaired rounds of one of `n_launches` launches, and what their error is multiplied by.

    The launch itself, from 5 launches on; below, as many batches of 2 rounds or more as make 5 in all; in a single launch
    batches of 3 rounds or more, 2 at least, or each of fewer than 15 rounds where `CellSamples.round_blocks` is known.
    """
    wanted = -(-LATENCY_BATCHES // n_launches)
    if n_launches > 1:
        return max(1, min(wanted, n_rounds // 2)), 1.0
    if round_blocks is None or n_rounds >= 3 * LATENCY_BATCHES:
        return min(n_rounds, max(2, min(wanted, n_rounds // 3))), 1.0
    shared = CORRELATED**round_blocks
    return n_rounds, math.sqrt((1.0 + shared) / (1.0 - shared))


def _mean_of(values: FloatArray, n_launches: int, n_rounds: int) -> Estimate:
    """The mean of independent replicates, float64 (n,)."""
    if len(values) < 2:
        return Estimate(float(values[0]), None, None, n_launches, n_rounds)
    average, error = mean_and_error(values)
    return Estimate(float(average), float(error), float(len(values) - 1), n_launches, n_rounds)


def estimate_ratio(launches: Sequence[FloatArray], launch_noise: float = LAUNCH_NOISE) -> Estimate:
    """Log ratio from its rounds', float64 (rounds,) for each of one or more launches; see the module's docstring.

    `launch_noise` is 0 for two that share a process.

    Launches weigh by what their rounds and a process start's luck leave of their error. Where no launch has two rounds,
    the launches' own spread is all that is known.
    """
    centers = np.array([midmean(rounds) for rounds in launches])
    counts = np.array([len(rounds) for rounds in launches])
    n, n_rounds = len(launches), int(counts.sum())
    known = [midmean_variance(rounds) for rounds in launches if len(rounds) > 1]
    if not known:
        return _mean_of(centers, n, n_rounds)
    df = sum(own for _, own in known)
    round_variance = sum(variance * own for variance, own in known) / df
    spread = float(centers.var(ddof=1)) if n > 1 else 0.0
    beyond = max(0.0, spread - round_variance * float((1.0 / counts).mean()))
    prior = 2.0 * launch_noise**2
    prior_df = SURPRISED_DF if beyond > SURPRISE * prior else LAUNCH_NOISE_DF
    launch_df = prior_df + n - 1
    launch_variance = (prior_df * prior + (n - 1) * beyond) / max(launch_df, 1)
    weights = 1.0 / (launch_variance + round_variance / counts + _TINY)
    weights /= weights.sum()
    of_rounds = round_variance * float((weights**2 / counts).sum())
    of_launches = launch_variance * float((weights**2).sum())
    total = of_rounds + of_launches
    satterthwaite = (total**2 + _TINY) / (of_rounds**2 / df + of_launches**2 / max(launch_df, 1) + _TINY)
    return Estimate(float(weights @ centers), math.sqrt(total), satterthwaite, n, n_rounds)


def round_table(cell: CellSamples, *, calm: bool = False) -> RoundTable:
    """Log block medians (ns) by launch and round, of `calm` times or of all; only blocks with a steady sample."""
    places = [
        (block.launch, block.round, turn) for turn, block in enumerate(cell.blocks) for _ in range(len(block.steady_ns))
    ]
    steady = [block.steady_ns * (block.calm if calm else 1.0) for block in cell.blocks]
    return block_medians(np.concatenate([np.empty(0), *steady]), np.array(places, np.int64).reshape(-1, 3))


def block_medians(steady_ns: FloatArray, places: npt.NDArray[np.int64]) -> RoundTable:
    """The same of steady samples, float64 (n,), and the (launch, round, turn) that each was timed in, int64 (n, 3)."""
    order = np.lexsort((steady_ns, *places.T[::-1]))
    values, places = steady_ns[order], places[order]
    ends = np.flatnonzero(np.append((places[1:] != places[:-1]).any(axis=1), [True] * (len(places) > 0))) + 1
    starts = np.append(0, ends[:-1])[: len(ends)]
    middle = starts + ends
    medians = (values[(middle - 1) // 2] + values[middle // 2]) / 2.0
    table: RoundTable = {}
    for (launch, index, _), median in zip(places[starts].tolist(), medians.tolist(), strict=True):
        table.setdefault(launch, {}).setdefault(index, []).append(math.log(median))
    return table


def round_mean(blocks: Sequence[float]) -> float:
    """A round's log latency; blocks (n,), n >= 1."""
    return sum(blocks) / len(blocks)


def latency_rounds(cell: CellSamples) -> list[FloatArray]:
    """Log latency (ns) of every round, the mean of its log block medians: one float64 (rounds,) a launch."""
    launches = round_table(cell).values()
    return [np.array([round_mean(blocks) for blocks in rounds.values()]) for rounds in launches]


def estimate_log_latency(cell: CellSamples) -> Estimate:
    """Log of the cell's latency (ns): the mean over replicates of log block medians.

    Raises:
        UsageError: no block of the cell has a steady sample.
    """
    launches = latency_rounds(cell)
    if not launches:
        raise UsageError(f"cell {cell.cell} has no steady sample: there is no steady-state latency")
    batches = [latency_batches(len(launches), len(rounds), cell.round_blocks) for rounds in launches]
    means = [batch_means(rounds, count) for rounds, (count, _) in zip(launches, batches, strict=True)]
    found = _mean_of(np.concatenate(means), len(launches), sum(len(rounds) for rounds in launches))
    error = None if found.standard_error is None else found.standard_error * batches[0][1]
    return replace(found, standard_error=error)


def paired_log_ratios(ours: RoundTable, theirs: RoundTable) -> list[FloatArray]:
    """log(ours / theirs) of every round both ran, one float64 (rounds,) for each launch set they share.

    A round counts when both have all their blocks in it, as many as in their fullest round. Half of a mirrored round
    (the run was stopped, or a block was still warm-up) would carry the drift that the other half cancels.
    """
    tables = (ours, theirs)
    whole = max((len(blocks) for t in tables for rounds in t.values() for blocks in rounds.values()), default=0)
    launches = []
    for launch in sorted(ours.keys() & theirs.keys()):
        a, b = ours[launch], theirs[launch]
        shared = [i for i in sorted(a.keys() & b.keys()) if len(a[i]) == len(b[i]) == whole]
        if shared:
            launches.append(np.array([round_mean(a[i]) - round_mean(b[i]) for i in shared]))
    return launches


def estimate_log_ratio(baseline: CellSamples, cell: CellSamples, launch_noise: float = LAUNCH_NOISE) -> Estimate | None:
    """log(baseline / cell), paired by (launch, round); above 0 the cell is faster. None: nothing to pair."""
    return log_ratio_of_rounds(round_table(baseline, calm=True), round_table(cell, calm=True), launch_noise)


def log_ratio_of_rounds(baseline: RoundTable, cell: RoundTable, launch_noise: float = LAUNCH_NOISE) -> Estimate | None:
    """The same of cells whose rounds are summed up already: where one cell meets a thousand others."""
    launches = paired_log_ratios(baseline, cell)
    return estimate_ratio(launches, launch_noise) if launches else None


def difference(a: Estimate, b: Estimate) -> Estimate:
    """A - b of two *independent* estimates, with Welch's standard error and degrees of freedom.

    For what was not measured side by side: two runs (`compare`), or two cells that never lived in one launch
    set, each through its own ratio to the baseline.
    """
    n_launches, n_rounds = min(a.n_launches, b.n_launches), min(a.n_rounds, b.n_rounds)
    if a.standard_error is None or b.standard_error is None or a.df is None or b.df is None:
        return Estimate(a.log - b.log, None, None, n_launches, n_rounds)
    variances = a.standard_error**2, b.standard_error**2
    total = sum(variances)
    if total == 0.0:
        df = a.df + b.df
    else:
        shares = variances[0] / total, variances[1] / total
        df = 1.0 / (shares[0] ** 2 / a.df + shares[1] ** 2 / b.df)
    return Estimate(a.log - b.log, math.sqrt(total), df, n_launches, n_rounds)
