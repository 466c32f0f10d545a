"""A simulated machine with known ratios: drift, correlated noise, luck of each launch, spikes; no sleeping.

log of a sample = log(true latency) + drift(time) + machine noise AR(1) + launch effect + white noise (+ spikes)

The machine's part (drift and AR(1)) runs on through all cells in the order they take turns, which is what makes the
order of turns matter; launch effects belong to one process start of one cell. Time is counted in samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from depthport.bench.plan.schedule import Order, round_order
from depthport.bench.statistics.replicates import LAUNCH_NOISE_DF
from depthport.bench.statistics.samples import FloatArray

CELLS = ("baseline", "twin", "plus5", "double")
"""The baseline, its A/A twin, the same 5 % slower, and one twice as fast."""
TRUE_LOG_LATENCY = np.log([1.0, 1.0, 1.05, 0.5])

Ordering = Literal["sequential", "fixed"] | Order


@dataclass(frozen=True)
class Clock:
    """Sizes are relative standard deviations, except `drift`, the rise of latency over the whole run."""

    drift: float = 0.05
    shape: Literal["saturating", "linear", "per launch"] = "saturating"
    rho: float = 0.9
    """Correlation of the machine's noise from one sample to the next."""
    correlated: float = 0.02
    white: float = 0.01
    launch: float = 0.0075
    """Typical for machines; each run's own is this over the root of chi squared / df, with `LAUNCH_NOISE_DF`."""
    spikes: float = 0.0
    """Share of samples that take 50 % longer."""
    bad_launch: float = 0.0
    """Chance that a process start is 5 % slower throughout: another kernel picked, unlucky memory."""
    relaunch: int = 8
    """Samples' worth of time between launches: at the least two warm-up calls of each cell."""


@dataclass(frozen=True)
class Sampling:
    """Launches of rounds of blocks of `samples` samples, in this order of turns."""

    launches: int
    rounds: int
    samples: int
    order: Ordering
    cells: tuple[str, ...] = CELLS

    @property
    def turns(self) -> int:
        """Blocks in a round."""
        return len(self.cells) * (2 if self.order is Order.MIRRORED else 1)

    @property
    def total(self) -> int:
        return self.launches * self.rounds * self.turns * self.samples


def turn_table(sampling: Sampling, runs: int, seed: int) -> np.ndarray:
    """Index into `sampling.cells` of each turn, int (runs, launches, rounds, turns)."""
    shape = (runs, sampling.launches, sampling.rounds, sampling.turns)
    # ours come from the schedule that real runs use, one seed a run
    if not isinstance(sampling.order, Order):
        return np.broadcast_to(np.arange(len(sampling.cells)), shape)
    index = {cell: i for i, cell in enumerate(sampling.cells)}
    turns = [
        index[cell]
        for run in range(runs)
        for launch in range(sampling.launches)
        for i in range(sampling.rounds)
        for cell in round_order(sampling.cells, sampling.order, seed + run, launch, i)
    ]
    return np.array(turns).reshape(shape)


def _drift(clock: Clock, sampling: Sampling) -> FloatArray:
    """Log drift at each sample, float64 (total,), from 0 to log(1 + drift)."""
    per_launch = clock.shape == "per launch"
    span = sampling.total // sampling.launches if per_launch else sampling.total
    time = (np.arange(sampling.total) % span) / span
    rise = time if clock.shape == "linear" else -np.expm1(-4.0 * time) / -math.expm1(-4.0)
    return np.asarray(math.log1p(clock.drift) * rise, dtype=np.float64)


def _machine_noise(clock: Clock, sampling: Sampling, runs: int, rng: np.random.Generator) -> FloatArray:
    """Stationary AR(1) noise of unit variance, float64 (runs, total); more time passes between launches."""
    noise = rng.standard_normal((sampling.total, runs))
    per_launch = sampling.total // sampling.launches
    for t in range(1, sampling.total):
        rho = clock.rho ** (1 if t % per_launch else 1 + clock.relaunch)
        noise[t] = rho * noise[t - 1] + math.sqrt(1.0 - rho**2) * noise[t]
    found: FloatArray = noise.T
    return found


def simulate_samples(
    sampling: Sampling, clock: Clock, runs: int, seed: int, log_latency: FloatArray = TRUE_LOG_LATENCY
) -> tuple[FloatArray, np.ndarray]:
    """Log samples, float64 (runs, launches, rounds, turns, samples), and their `turn_table`.

    `log_latency`, float64 (cells,), is the true one of each of `sampling.cells`.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    turns = turn_table(sampling, runs, seed)
    shape = (*turns.shape, sampling.samples)
    machine = clock.correlated * _machine_noise(clock, sampling, runs, rng) + _drift(clock, sampling)
    log = machine.reshape(shape) + clock.white * rng.standard_normal(shape)
    if clock.spikes:
        log += math.log(1.5) * (rng.random(shape) < clock.spikes)
    starts = (runs, sampling.launches, len(sampling.cells))
    luck = log_latency + clock.launch * launch_scale(rng, runs)[:, None, None] * rng.standard_normal(starts)
    if clock.bad_launch:
        luck += math.log(1.05) * (rng.random(starts) < clock.bad_launch)
    of_turn = np.take_along_axis(luck[:, :, None, :], turns.astype(np.intp), axis=3)
    return log + of_turn[..., None], turns


def launch_scale(rng: np.random.Generator, runs: int) -> FloatArray:
    """How much more or less than typical process starts differ in each run, float64 (runs,): what the prior says."""
    scale: FloatArray = np.sqrt(LAUNCH_NOISE_DF / rng.chisquare(LAUNCH_NOISE_DF, runs))
    return scale


def cell_blocks(log: FloatArray, turns: np.ndarray, cell: int) -> FloatArray:
    """The log samples of one cell, float64 (runs, launches, rounds, blocks, samples), in the order timed."""
    mask = turns == cell
    blocks = int(mask[0, 0, 0].sum())
    found: FloatArray = log[mask].reshape(*turns.shape[:3], blocks, log.shape[-1])
    return found
