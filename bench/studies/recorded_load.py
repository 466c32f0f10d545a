"""Recorded noise: what taking off the time that calls waited for a CPU does to verdicts, and what it leaves of their bias.

The recordings (`waits.json`) are of one cell in two processes that take turns on a CPU which others use too.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from depthport.bench.plan.controls import DELAY
from depthport.bench.statistics.estimate import Round, RoundTable, estimate_ratio, log_ratio_of_rounds
from depthport.bench.statistics.guess import wrong_by
from depthport.bench.statistics.midmean import QUIET
from depthport.bench.statistics.samples import FloatArray
from depthport.bench.statistics.verdict import Verdict, judge
from depthport.bench.studies.simulated_clock import Clock, launch_scale

FEWEST_QUIET = 10


@dataclass(frozen=True)
class Recording:
    """One cell in two processes, taking turns in mirrored rounds on a machine under a known load."""

    load: str
    ms: FloatArray
    """float64 (rounds, 2 processes, 2 blocks)."""
    calm: FloatArray
    """Share of each block left without waiting for a CPU, of the same shape."""
    threads: int

    def logs(self, *, calm: bool) -> tuple[FloatArray, FloatArray]:
        """Log times of the blocks, calm or as they were, and the share of each that is in doubt, of the same shape."""
        if not calm:
            return np.log(self.ms), np.zeros_like(self.ms)
        return np.log(self.ms * self.calm), (1.0 - 1.0 / self.threads) * (1.0 - self.calm)


def recordings() -> list[Recording]:
    """The recordings that come with the package: what was recorded, and on what, is said in the file."""
    found = json.loads((files(__package__) / "waits.json").read_text(encoding="utf-8"))
    return [
        Recording(one["load"], np.array(one["ms"]), np.array(one["calm"]), one["threads"]) for one in found["recordings"]
    ]


def _table(log: FloatArray, doubt: FloatArray, waited: FloatArray, more: float = 0.0) -> RoundTable:
    """A process's rounds, that take `more` (log): of its blocks' log times and doubt, (rounds, 2), and what both waited."""
    guess, blocks = wrong_by(log.ravel(), doubt.ravel()), log.shape[-1]
    columns = (log.mean(axis=-1) + more).tolist(), waited.tolist(), doubt.mean(axis=-1).tolist()
    rounds = (Round(one, blocks, wait, unsure, guess) for one, wait, unsure in zip(*columns, strict=True))
    return {0: dict(enumerate(rounds))}


@dataclass(frozen=True)
class UnderLoad:
    """A/A and +5 % over runs drawn from a recording."""

    coverage: float
    half_width: float
    false_positive: float
    power: float


def under_load(recording: Recording, rounds: int, *, calm: bool, runs: int, seed: int = 0) -> UnderLoad:
    """Runs of consecutive recorded rounds of one cell in two processes, by `calm` times or by all.

    Which process is which is drawn for every round, so that the truth is a ratio of 1. A/A is of two processes, with the
    luck of a start; +5 % is of one, as in a run.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    log, doubt = recording.logs(calm=calm)
    waited = 1.0 - recording.calm.min(axis=(1, 2)) if calm else np.zeros(len(log))
    estimates, delayed = [], []
    for _ in range(runs):
        begin = int(rng.integers(0, len(log) - rounds + 1))
        drawn = slice(begin, begin + rounds)
        swapped = rng.choice((True, False), (rounds, 1, 1))
        luck = Clock().launch * math.sqrt(2.0) * float(launch_scale(rng, 1)[0]) * rng.standard_normal()
        logs, doubts = (np.where(swapped, part[drawn, ::-1], part[drawn]) for part in (log, doubt))
        ours, theirs = ((logs[:, process], doubts[:, process], waited[drawn]) for process in (0, 1))
        estimates.append(log_ratio_of_rounds(_table(*ours, luck), _table(*theirs)))
        delayed.append(judge(log_ratio_of_rounds(_table(*ours), _table(*theirs, math.log1p(DELAY)), 0.0)).verdict)
    verdicts = [judge(found).verdict for found in estimates]
    wrong = sum(verdict in (Verdict.FASTER, Verdict.SLOWER) for verdict in verdicts)
    intervals = [interval for found in estimates if found and (interval := found.interval())]
    return UnderLoad(
        sum(low <= 0.0 <= high for low, high in intervals) / runs,
        float(np.median([(high - low) / 2.0 for low, high in intervals])),
        wrong / runs,
        delayed.count(Verdict.SLOWER) / runs,
    )


def bias(recording: Recording, rounds: int, *, weighted: bool, runs: int, seed: int = 0) -> float | None:
    """How far off the ratio of a program that never waits to the recorded one is, relative, averaged over runs.

    The truth is the median of the blocks that were quiet; None where there are fewer than 10. `weighted`: rounds weigh by
    how little they waited (bench/statistics/midmean.py), as they do in a run.
    """
    quiet = recording.ms[recording.calm >= 1.0 - QUIET]
    if len(quiet) < FEWEST_QUIET:
        return None
    rng = np.random.Generator(np.random.PCG64(seed))
    (log, doubt), waited = recording.logs(calm=True), 1.0 - recording.calm.min(axis=-1)
    found = []
    for _ in range(runs):
        begin, process = int(rng.integers(0, len(log) - rounds + 1)), int(rng.integers(2))
        drawn = slice(begin, begin + rounds), process
        guess = wrong_by(log[drawn].ravel(), doubt[drawn].ravel())
        ratios = (log[drawn] - guess.mean * doubt[drawn]).mean(axis=-1)
        found.append(estimate_ratio([ratios], waited=[waited[drawn]] if weighted else None).log)
    return float(np.mean(np.exp(np.array(found) - math.log(float(np.median(quiet)))))) - 1.0
