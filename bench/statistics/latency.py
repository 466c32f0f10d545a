"""The summary of one cell at one boundary: the figures of `timing` in results.json."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depthport.bench.statistics.bootstrap import latency_quantile
from depthport.bench.statistics.samples import CellSamples, coefficient_of_variation, lag1_autocorrelation, minimum_count
from depthport.bench.statistics.steady_state import Drift, drift
from depthport.exporters.core.errors import UsageError


@dataclass(frozen=True)
class Latency:
    """Steady-state latency, ns. None stands for what the samples cannot carry."""

    median_ns: float
    ci95_ns: tuple[float, float] | None
    min_ns: float
    p90_ns: float | None
    p95_ns: float | None
    p99_ns: float | None
    n: int
    n_rounds: int
    n_launches: int
    cv: float | None
    """Standard deviation over mean of all steady samples."""
    autocorrelation: float | None
    """Lag-1 within blocks (samples of one block follow each other, blocks do not), median over blocks."""
    drift: Drift | None


def summarize(cell: CellSamples, seed: int = 0) -> Latency:
    """All figures of a cell from its steady samples. The same samples and seed give the same figures.

    Raises:
        UsageError: no block has a steady sample.
    """
    samples = cell.steady_ns()
    if not len(samples):
        raise UsageError(f"cell {cell.cell} has no steady sample: there is no steady-state latency to summarize")
    steady = [block for block in cell.blocks if len(block.steady_ns)]
    interval = latency_quantile(cell, 0.5, seed)

    def carried(q: float) -> float | None:
        return float(np.quantile(samples, q)) if len(samples) >= minimum_count(q) else None

    lags = [lag for block in steady if (lag := lag1_autocorrelation(block.steady_ns)) is not None]
    return Latency(
        median_ns=float(np.median(samples)),
        ci95_ns=None if interval is None else interval.ci95,
        min_ns=float(samples.min()),
        p90_ns=carried(0.90),
        p95_ns=carried(0.95),
        p99_ns=carried(0.99),
        n=len(samples),
        n_rounds=len({(block.launch, block.round) for block in steady}),
        n_launches=len({block.launch for block in steady}),
        cv=coefficient_of_variation(samples),
        autocorrelation=float(np.median(lags)) if lags else None,
        drift=drift(cell),
    )
