"""Percentiles, moments, grouping and the data model, against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from depthport.bench.statistics.samples import (
    Block,
    CellSamples,
    as_samples,
    coefficient_of_variation,
    group_size,
    is_unstable,
    lag1_autocorrelation,
    mean_std,
    minimum_count,
    order_statistic_ranks,
    percentile,
)
from depthport.exporters.core.errors import UsageError

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")

latencies = hnp.arrays(np.float64, st.integers(6, 200), elements=st.floats(1.0, 1e12))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -1.0])
@pytest.mark.parametrize("function", [as_samples, mean_std, coefficient_of_variation, lag1_autocorrelation])
def test_what_is_not_a_latency_is_refused_and_named(function: Callable[[Sequence[float]], object], bad: float) -> None:
    with pytest.raises(UsageError, match="sample 2 is"):
        function([1.0, 2.0, bad, 4.0, 5.0, 6.0, bad])


def test_samples_are_one_list() -> None:
    with pytest.raises(UsageError, match=r"\(2, 2\)"):
        as_samples(np.ones((2, 2)))
    assert as_samples([]).shape == (0,)


@pytest.mark.parametrize(("q", "n"), [(0.5, 6), (0.9, 29), (0.95, 59), (0.99, 299), (0.1, 29), (0.01, 299)])
def test_minimum_count(q: float, n: int) -> None:
    assert minimum_count(q) == n
    samples = np.arange(1.0, n + 1)
    assert percentile(samples, q) is not None
    assert percentile(samples[:-1], q) is None


@given(st.floats(0.001, 0.999))
def test_minimum_count_is_the_smallest(q: float) -> None:
    n = minimum_count(q)
    assert q**n + (1 - q) ** n <= 0.05 < q ** (n - 1) + (1 - q) ** (n - 1)


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, 90, math.nan])
def test_a_quantile_is_a_fraction(q: float) -> None:
    with pytest.raises(UsageError, match=r"p90 is 0\.9"):
        percentile([1.0] * 500, q)


def test_median_ranks_of_the_textbook() -> None:
    # the tables of the sign test
    assert order_statistic_ranks(6, 0.5) == (1, 6)
    assert order_statistic_ranks(10, 0.5) == (2, 9)
    assert order_statistic_ranks(20, 0.5) == (6, 15)
    assert order_statistic_ranks(100, 0.5) == (40, 61)


def _binomial_cdf(k: int, n: int, q: float) -> float:
    return sum(math.comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(k + 1))


@given(st.sampled_from([0.05, 0.5, 0.9, 0.95]), st.integers(0, 200))
def test_ranks_cover_95_percent(q: float, extra: int) -> None:
    n = minimum_count(q) + extra
    lower, upper = order_statistic_ranks(n, q)
    assert 1 <= lower < upper <= n
    coverage = _binomial_cdf(upper - 1, n, q) - _binomial_cdf(lower - 1, n, q)
    assert coverage >= 0.95 - 1e-12


def test_percentile_of_known_ranks() -> None:
    found = percentile(np.arange(1.0, 101.0)[::-1], 0.5)
    assert found is not None
    assert (found.value, found.ci95, found.n) == (50.5, (40.0, 61.0), 100)


@given(latencies)
def test_median_lies_in_its_interval_and_does_not_depend_on_order(samples: NDArray[np.float64]) -> None:
    found = percentile(samples, 0.5)
    assert found is not None
    assert samples.min() <= found.ci95[0] <= found.value <= found.ci95[1] <= samples.max()
    assert percentile(np.sort(samples), 0.5) == found


@given(latencies, st.floats(1e-3, 1e3))
def test_median_scales_with_its_unit(samples: NDArray[np.float64], factor: float) -> None:
    found, scaled = percentile(samples, 0.5), percentile(samples * factor, 0.5)
    assert found is not None
    assert scaled is not None
    assert scaled.value == pytest.approx(found.value * factor)
    assert scaled.ci95 == pytest.approx(tuple(bound * factor for bound in found.ci95))


@pytest.mark.parametrize("n", range(6))
def test_median_of_few_is_none(n: int) -> None:
    assert percentile([5.0] * n, 0.5) is None


def test_constant_samples() -> None:
    found = percentile([5.0] * 6, 0.5)
    assert found is not None
    assert (found.value, found.ci95) == (5.0, (5.0, 5.0))
    assert coefficient_of_variation([5.0] * 6) == 0.0
    assert lag1_autocorrelation([0.1] * 6) is None


def test_a_million_samples() -> None:
    samples = np.random.default_rng(0).lognormal(size=1_000_000)
    for q in (0.5, 0.9, 0.99):
        found = percentile(samples, q)
        assert found is not None
        truth = math.exp(math.sqrt(2) * {0.5: 0.0, 0.9: 0.9061938, 0.99: 1.6449764}[q])
        assert found.ci95[0] < truth < found.ci95[1]
        assert (found.ci95[1] - found.ci95[0]) / found.value < 0.02


def test_order_statistic_interval_covers_in_draws() -> None:
    rng = np.random.default_rng(3)
    for q in (0.5, 0.9):
        truth = -math.log(1 - q)
        found = [percentile(rng.exponential(size=40), q) for _ in range(1000)]
        covered = sum(f is not None and f.ci95[0] <= truth <= f.ci95[1] for f in found) / len(found)
        assert covered >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 1000)


def test_mean_and_deviation() -> None:
    found = mean_std([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert found.mean == 5.0
    assert found.std == pytest.approx(math.sqrt(32 / 7))
    assert mean_std([3.0]).std is None
    with pytest.raises(UsageError, match="nothing was timed"):
        mean_std([])


def test_variation() -> None:
    assert coefficient_of_variation([9.0, 11.0]) == pytest.approx(math.sqrt(2) / 10)
    assert coefficient_of_variation([9.0]) is None
    assert coefficient_of_variation([]) is None
    assert [is_unstable(cv) for cv in (None, 0.02, 0.025, 0.026)] == [False, False, False, True]


def test_lag1_autocorrelation() -> None:
    assert lag1_autocorrelation([1.0, 2.0] * 50) == pytest.approx(-0.99)
    assert lag1_autocorrelation([1.0, 2.0]) is None
    assert lag1_autocorrelation([]) is None
    rng = np.random.default_rng(0)
    noise = np.zeros(20_000)
    for t in range(1, len(noise)):
        noise[t] = 0.9 * noise[t - 1] + rng.standard_normal()
    assert lag1_autocorrelation(np.exp(0.01 * noise)) == pytest.approx(0.9, abs=0.02)


@given(latencies)
def test_autocorrelation_is_a_correlation(samples: NDArray[np.float64]) -> None:
    found = lag1_autocorrelation(samples)
    assert found is None or -1.0 <= found <= 1.0


@pytest.mark.parametrize(
    ("call_ns", "overhead_ns", "size"), [(5e6, 2e3, 1), (1e5, 2e3, 20), (2e6, 2e3, 1), (1.9e6, 2e3, 2), (1, 0, 1)]
)
def test_group_size(call_ns: float, overhead_ns: float, size: int) -> None:
    assert group_size(call_ns, overhead_ns) == size


@given(st.floats(1.0, 1e10), st.floats(0.0, 1e6), st.floats(1e-4, 0.1))
def test_group_is_the_smallest_that_meets_the_target(call_ns: float, overhead_ns: float, target: float) -> None:
    size = group_size(call_ns, overhead_ns, target)
    assert overhead_ns <= size * call_ns * target * (1 + 1e-12)
    assert size == 1 or overhead_ns > (size - 1) * call_ns * target * (1 - 1e-12)


@pytest.mark.parametrize("bad", [(0, 1, 1e-3), (-1, 1, 1e-3), (1, -1, 1e-3), (1, 1, 0), (math.nan, 1, 1), (1, math.inf, 1)])
def test_group_size_refuses(bad: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError):
        group_size(*bad)


def test_block_splits_warmups_and_cannot_be_changed() -> None:
    block = Block(0, 0, np.array([9.0, 5.0, 4.0]), warmup=1)
    assert block.steady_ns.tolist() == [5.0, 4.0]
    with pytest.raises(ValueError, match="read-only"):
        block.samples_ns[0] = 1.0
    assert Block(0, 0, np.array([9.0]), warmup=1).steady_ns.size == 0


@pytest.mark.parametrize("warmup", [-1, 3])
def test_block_refuses_impossible_warmups(warmup: int) -> None:
    with pytest.raises(UsageError, match="warm-ups of 2 samples"):
        Block(0, 0, np.array([1.0, 2.0]), warmup)


def test_block_refuses_no_samples_and_bad_samples() -> None:
    with pytest.raises(UsageError, match="no sample"):
        Block(1, 2, np.array([]))
    with pytest.raises(UsageError, match=r"launch 1, round 2.*sample 0 is nan"):
        Block(1, 2, np.array([math.nan]))


def test_cell_keeps_the_order_of_blocks() -> None:
    blocks = [Block(0, 0, np.array([1.0, 2.0]), 1), Block(0, 1, np.array([3.0])), Block(1, 0, np.array([4.0]))]
    assert CellSamples("a", tuple(blocks)).steady_ns().tolist() == [2.0, 3.0, 4.0]
    assert CellSamples("a", ()).steady_ns().shape == (0,)
    with pytest.raises(UsageError, match="cell a: blocks are not in the order"):
        CellSamples("a", tuple(reversed(blocks)))
