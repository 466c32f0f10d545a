"""The summary of a cell."""

from __future__ import annotations

import numpy as np
import pytest

from depthport.bench.statistics.latency import summarize
from depthport.bench.statistics.samples import Block, CellSamples, is_unstable
from depthport.exporters.core.errors import UsageError


def cell(launches: int, rounds: int, samples: int, seed: int = 0, warmup: int = 1) -> CellSamples:
    rng = np.random.default_rng(seed)
    blocks = [
        Block(launch, index, 1e6 * np.exp(0.01 * rng.standard_normal(samples + warmup)), warmup)
        for launch in range(launches)
        for index in range(rounds)
        for _ in range(2)
    ]
    return CellSamples("c", tuple(blocks))


def test_summary_of_a_full_run() -> None:
    measured = cell(5, 4, 10)
    samples = measured.steady_ns()
    found = summarize(measured)
    assert (found.n, found.n_rounds, found.n_launches) == (400, 20, 5)
    assert found.median_ns == np.median(samples)
    assert found.min_ns == samples.min()
    assert [found.p90_ns, found.p99_ns] == np.quantile(samples, [0.9, 0.99]).tolist()
    assert found.ci95_ns is not None
    assert found.ci95_ns[0] < found.median_ns < found.ci95_ns[1]
    assert found.cv == pytest.approx(0.01, rel=0.2)
    assert not is_unstable(found.cv)
    assert found.autocorrelation == pytest.approx(-0.1, abs=0.15)
    assert found.drift is not None
    assert summarize(measured) == found


def test_summary_of_little_prints_little() -> None:
    found = summarize(cell(1, 1, 1))
    assert found.n == 2
    assert (found.ci95_ns, found.p90_ns, found.p95_ns, found.p99_ns) == (None,) * 4
    assert (found.autocorrelation, found.drift) == (None, None)
    assert found.cv is not None


def test_percentiles_appear_with_their_counts() -> None:
    found = summarize(cell(2, 2, 10))
    assert found.n == 80
    assert found.p95_ns is not None
    assert found.p99_ns is None


def test_unstable_is_said() -> None:
    blocks = tuple(Block(i, 0, np.array([1.0, 1.1, 0.9])) for i in range(3))
    assert is_unstable(summarize(CellSamples("c", blocks)).cv)


def test_no_steady_state_has_no_summary() -> None:
    with pytest.raises(UsageError, match="cell c has no steady sample"):
        summarize(CellSamples("c", (Block(0, 0, np.array([1.0]), 1),)))
