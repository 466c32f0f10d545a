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

**Other work.** A launch's ratio is the midmean of its rounds' (bench/statistics/midmean.py). Blocks may carry the share of
their time that is left without waiting for a CPU (`Block.calm`); a ratio is then one of calm times, rounds weigh by how
little their blocks waited, and what a guess may be wrong by is in the interval (bench/statistics/guess.py). A latency has
no such symmetry: bursts are part of it, and a midmean would hide them (bench/statistics/replicates.py).

`python -m depthport.bench.studies.simulate` prints the coverage of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from depthport.bench.statistics.guess import UNTOLD, Guess, shared, wrong_by
from depthport.bench.statistics.midmean import midmean, quietness
from depthport.bench.statistics.replicates import (
    LAUNCH_NOISE,
    LAUNCH_NOISE_DF,
    batch_means,
    latency_batches,
    latency_error,
    mean_and_error,
    together,
)
from depthport.bench.statistics.samples import CONFIDENCE, CellSamples, FloatArray
from depthport.bench.statistics.student_t import student_t_quantile, student_t_tail
from depthport.exporters.core.errors import UsageError

_TINY = 1e-30
SURPRISE, SURPRISED_DF = 2.0, 1
"""Launches whose variance is this many times what was expected speak for themselves: the prior is worth this little."""


@dataclass(frozen=True)
class Round:
    """What one cell did in a round."""

    log: float
    """Mean of the log medians of its blocks, with waiting taken off as it is guessed."""
    blocks: int
    """Blocks with a steady sample: one, or two in a mirrored round."""
    waited: float = 0.0
    """Largest share of a block that was spent waiting for a CPU."""
    doubt: float = 0.0
    """Mean share of its blocks that was taken off by a guess."""
    guess: Guess = UNTOLD
    """What `log` is wrong by for each such share, as all blocks of the cell tell."""


RoundTable = dict[int, dict[int, Round]]
"""launch -> round -> what the cell did in it."""


@dataclass(frozen=True)
class Estimate:
    """A mean of replicates on the log scale; `standard_error` and `df` are None where there was only one."""

    log: float
    standard_error: float | None
    df: float | None
    n_launches: int
    n_rounds: int
    round_noise: float | None = None
    """Standard deviation of a quiet round; None where it was not measured."""
    doubt: float = 0.0
    """The part of `standard_error` that more rounds do not make smaller: waiting was taken off by a guess."""

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
    def in_doubt(self) -> bool:
        """Return whether most of the variance is what more rounds do not make smaller."""
        return self.standard_error is not None and 2.0 * self.doubt**2 > self.standard_error**2

    @property
    def p_value(self) -> float | None:
        """Two-sided, of the hypothesis that the ratio is 1; None where there is no standard error."""
        if self.standard_error is None or self.df is None:
            return None
        if self.standard_error == 0.0:
            return 0.0 if self.log else 1.0
        return 2.0 * student_t_tail(abs(self.log) / self.standard_error, self.df)


def _mean_of(values: FloatArray, n_launches: int, n_rounds: int) -> Estimate:
    """The mean of independent replicates, float64 (n,)."""
    if len(values) < 2:
        return Estimate(float(values[0]), None, None, n_launches, n_rounds)
    average, error = mean_and_error(values)
    return Estimate(float(average), float(error), float(len(values) - 1), n_launches, n_rounds)


def estimate_ratio(
    launches: Sequence[FloatArray],
    launch_noise: float = LAUNCH_NOISE,
    waited: Sequence[FloatArray] | None = None,
    doubt: Sequence[FloatArray] | None = None,
) -> Estimate:
    """Log ratio from its rounds', float64 (rounds,) for each of one or more launches; see the module's docstring.

    Launches weigh by what their rounds and a process start's luck leave of their error. Where no launch has two rounds,
    the launches' own spread is all that is known.

    Args:
        launch_noise: 0 for two that share a process.
        waited: the largest share of a block of each round that was spent waiting for a CPU; None: none was.
        doubt: standard deviation of what each round's is wrong by, alike for all, below 0 where it is wrong the other way;
            None: nothing was taken off by a guess.
    """
    ends = np.cumsum([len(rounds) for rounds in launches])
    quiet = quietness(np.zeros(ends[-1]) if waited is None else np.concatenate(waited))
    guessed = 0.0 if doubt is None else abs(float(quiet @ np.concatenate(doubt) / quiet.sum()))
    found = [midmean(rounds, weights) for rounds, weights in zip(launches, np.split(quiet, ends[:-1]), strict=True)]
    centers, counts = np.array([one.value for one in found]), np.array([one.n for one in found])
    n, n_rounds, df = len(launches), int(ends[-1]), sum(one.df for one in found)
    if n_rounds == n:
        return _unsure(_mean_of(centers, n, n_rounds), guessed)
    round_variance = sum(one.squares for one in found) / (df + _TINY)
    spread = float(centers.var(ddof=1)) if n > 1 else 0.0
    beyond = max(0.0, spread - round_variance * float((1.0 / counts).mean()))
    prior = 2.0 * launch_noise**2
    prior_df = SURPRISED_DF if beyond > SURPRISE * prior else LAUNCH_NOISE_DF
    launch_df = prior_df + n - 1
    launch_variance = (prior_df * prior + (n - 1) * beyond) / max(launch_df, 1)
    weights = 1.0 / (launch_variance + round_variance / counts + _TINY)
    weights /= weights.sum()
    of_rounds = math.sqrt(round_variance * float((weights**2 / counts).sum()))
    of_launches = math.sqrt(launch_variance * float((weights**2).sum()))
    error, df = together(of_rounds, df, of_launches, launch_df)
    return _unsure(Estimate(float(weights @ centers), error, df, n, n_rounds, math.sqrt(round_variance)), guessed)


def _unsure(found: Estimate, guessed: float) -> Estimate:
    """The estimate with what a guess may have made of it."""
    if not guessed or found.standard_error is None or found.df is None:
        return found
    error, df = together(found.standard_error, found.df, guessed, LAUNCH_NOISE_DF)
    return replace(found, standard_error=error, df=df, doubt=guessed)


def round_table(cell: CellSamples, *, calm: bool = False) -> RoundTable:
    """A cell's rounds, of `calm` times or of all; only those that have a block with a steady sample."""
    blocks = [(turn, block, len(block.steady_ns)) for turn, block in enumerate(cell.blocks)]
    places = [(block.launch, block.round, turn) for turn, block, count in blocks for _ in range(count)]
    shares = [(block.calm, block.doubt) if calm else (1.0, 0.0) for _, block, count in blocks for _ in range(count)]
    calms, doubts = np.array(shares, np.float64).reshape(-1, 2).T
    return rounds_of_samples(cell.steady_ns(), calms, doubts, np.array(places, np.int64).reshape(-1, 3))


def rounds_of_samples(
    steady_ns: FloatArray, calm: FloatArray, doubt: FloatArray, places: npt.NDArray[np.int64]
) -> RoundTable:
    """The same of steady samples, their blocks' calm shares and those in doubt, float64 (n,), and (launch, round, turn).

    The last is int64 (n, 3).
    """
    order = np.lexsort((steady_ns, *places.T[::-1]))
    values, calm, doubt, places = (steady_ns * calm)[order], calm[order], doubt[order], places[order]
    ends = np.flatnonzero(np.append((places[1:] != places[:-1]).any(axis=1), [True] * (len(places) > 0))) + 1
    starts = np.append(0, ends[:-1])[: len(ends)]
    middle = starts + ends
    logs = np.log((values[(middle - 1) // 2] + values[middle // 2]) / 2.0)
    turns: dict[int, dict[int, list[list[float]]]] = {}
    guess = wrong_by(logs, doubt[starts])
    for (launch, index, _), *turn in zip(
        places[starts].tolist(), logs.tolist(), calm[starts].tolist(), doubt[starts].tolist(), strict=True
    ):
        turns.setdefault(launch, {}).setdefault(index, []).append(turn)
    return {launch: {index: _round(found, guess) for index, found in rounds.items()} for launch, rounds in turns.items()}


def _round(turns: Sequence[Sequence[float]], guess: Guess) -> Round:
    logs, calm, doubt = zip(*turns, strict=True)
    return Round(sum(logs) / len(turns), len(turns), 1.0 - min(calm), sum(doubt) / len(turns), guess)


def latency_rounds(cell: CellSamples) -> list[FloatArray]:
    """Log latency (ns) of every round, the mean of its log block medians: one float64 (rounds,) a launch."""
    return [np.array([one.log for one in rounds.values()]) for rounds in round_table(cell).values()]


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
    replicates = np.concatenate(means)
    found = _mean_of(replicates, len(launches), sum(len(rounds) for rounds in launches))
    if found.standard_error is None:
        return found
    widened = found.standard_error * batches[0][1]
    error, df = latency_error(widened, len(replicates), len(launches), cell.round_blocks)
    return replace(found, standard_error=error, df=df)


def paired_rounds(
    ours: RoundTable, theirs: RoundTable, *, one_process: bool = False
) -> tuple[list[FloatArray], list[FloatArray], list[FloatArray]]:
    """log(ours / theirs) of each round of both, how much its blocks waited at most, and its doubt (:func:`estimate_ratio`).

    Each is a float64 (rounds,) for each launch set they share. A round counts when both have all their blocks in it, as
    many as in their fullest round. Half of a mirrored round (the run was stopped, or a block was still warm-up) would carry
    the drift that the other half cancels.
    """
    whole = max((one.blocks for table in (ours, theirs) for rounds in table.values() for one in rounds.values()), default=0)
    ratios, waited, doubt = [], [], []
    for launch in sorted(ours.keys() & theirs.keys()):
        a, b = ours[launch], theirs[launch]
        pairs = [(a[i], b[i]) for i in sorted(a.keys() & b.keys()) if a[i].blocks == b[i].blocks == whole]
        if pairs:
            guesses = (pairs[0][0].guess, pairs[0][1].guess)
            first, second = (shared(*guesses),) * 2 if one_process else guesses
            ratios.append(np.array([x.log - first.mean * x.doubt - (y.log - second.mean * y.doubt) for x, y in pairs]))
            waited.append(np.array([max(x.waited, y.waited) for x, y in pairs]))
            off = np.array([(first.deviation * x.doubt, second.deviation * y.doubt) for x, y in pairs])
            doubt.append(off[:, 0] - off[:, 1] if one_process else np.hypot(off[:, 0], off[:, 1]))
    return ratios, waited, doubt


def estimate_log_ratio(baseline: CellSamples, cell: CellSamples, launch_noise: float = LAUNCH_NOISE) -> Estimate | None:
    """log(baseline / cell), paired by (launch, round); above 0 the cell is faster. None: nothing to pair."""
    return log_ratio_of_rounds(round_table(baseline, calm=True), round_table(cell, calm=True), launch_noise)


def log_ratio_of_rounds(baseline: RoundTable, cell: RoundTable, launch_noise: float = LAUNCH_NOISE) -> Estimate | None:
    """The same of cells whose rounds are summed up already: where one cell meets a thousand others."""
    launches, waited, doubt = paired_rounds(baseline, cell, one_process=not launch_noise)
    return estimate_ratio(launches, launch_noise, waited, doubt) if launches else None


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
