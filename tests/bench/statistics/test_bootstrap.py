"""The bootstrap of latency quantiles: units, exactness, coverage, speed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import ArrayLike

from depthport.bench.statistics.bootstrap import bootstrap_quantiles, latency_quantile, resampling_units
from depthport.bench.statistics.samples import Block, CellSamples
from depthport.exporters.core.errors import UsageError


def cell(*launches: Sequence[ArrayLike]) -> CellSamples:
    """Each launch is a list of rounds, each an array of samples (one block)."""
    blocks = [
        Block(launch, index, np.asarray(samples, dtype=float))
        for launch, rounds in enumerate(launches)
        for index, samples in enumerate(rounds)
    ]
    return CellSamples("c", tuple(blocks))


def test_units_are_launches_or_batches_of_rounds() -> None:
    assert [u.tolist() for u in resampling_units(cell([[1], [2]], [[3]]))[0]] == [[1.0, 2.0], [3.0]]
    one, widened, _ = resampling_units(cell([[float(i + 1)] for i in range(7)]))
    assert [u.tolist() for u in one] == [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]
    assert widened == 1.0
    assert resampling_units(cell([[1.0]]))[0][0].tolist() == [1.0]
    assert resampling_units(CellSamples("c", ())) == ([], 1.0, 0)
    units, widened, _ = resampling_units(replace(cell([[1.0], [2.0]]), round_blocks=1.0))
    assert [u.tolist() for u in units] == [[1.0], [2.0]] and widened == pytest.approx(math.sqrt(19.0))


def test_draws_follow_the_exact_bootstrap_distribution() -> None:
    units = [np.array([1.0, 2.0]), np.array([5.0]), np.array([9.0, 9.5, 10.0])]
    exact = []
    for drawn in itertools.product(units, repeat=3):
        pooled = np.sort(np.concatenate(drawn))
        exact.append(pooled[math.ceil(0.5 * len(pooled)) - 1])
    draws = bootstrap_quantiles(units, 0.5, seed=1, replicates=40_000)
    for value in set(exact):
        p = exact.count(value) / len(exact)
        assert np.mean(draws == value) == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 40_000) + 1e-12)
    assert set(draws) <= set(exact)


def test_launch_means_have_the_standard_error_of_the_t_interval() -> None:
    # one sample a launch: the median of the draws of a two-launch cell is one of three values in closed form
    found = latency_quantile(cell([[1.0]], [[math.e]]), seed=0)
    assert found is not None
    # draws: 0 (aa; ab, at least half of the weight), 1 (bb) with p = 1/4: variance 3/16, times 2 for n = 2
    half = 12.7062 * math.sqrt(3 / 16 * 2)
    width = math.log(found.ci95[1] / found.ci95[0]) / 2
    assert width == pytest.approx(half, rel=0.05)


def test_same_seed_same_interval() -> None:
    rng = np.random.default_rng(0)
    measured = cell(*[[rng.lognormal(size=20)] for _ in range(5)])
    assert latency_quantile(measured, seed=3) == latency_quantile(measured, seed=3)
    assert latency_quantile(measured, seed=3) != latency_quantile(measured, seed=4)


def test_what_cannot_be_known_is_none() -> None:
    assert latency_quantile(CellSamples("c", ())) is None
    assert latency_quantile(cell([[1.0, 2.0, 3.0]])) is None  # one round: no second unit
    assert latency_quantile(cell([[1.0, 2.0], [3.0, 4.0]])) is None  # two rounds of one launch
    few = cell([[1.0] * 14], [[1.0] * 14])
    assert latency_quantile(few, 0.5) is not None
    assert latency_quantile(few, 0.9) is None
    assert latency_quantile(cell([[1.0] * 15], [[1.0] * 14]), 0.9) is not None
    with pytest.raises(UsageError):
        latency_quantile(few, 90)


def test_constant_samples() -> None:
    found = latency_quantile(cell([[7.0] * 5], [[7.0] * 5]))
    assert found is not None
    assert (found.value, found.ci95) == (7.0, (7.0, 7.0))


def test_value_is_the_pooled_quantile_and_inside_its_interval() -> None:
    rng = np.random.default_rng(5)
    launches = [[rng.lognormal(sigma=0.1, size=30) for _ in range(4)] for _ in range(4)]
    found = latency_quantile(cell(*launches), 0.9)
    assert found is not None
    assert found.value == np.quantile(np.concatenate([np.concatenate(rounds) for rounds in launches]), 0.9)
    assert found.ci95[0] < found.value < found.ci95[1]
    assert found.n == 480


def test_binning_of_many_samples_keeps_the_quantile() -> None:
    rng = np.random.default_rng(2)
    units = [rng.lognormal(sigma=0.02, mean=0.001 * i, size=50_000) for i in range(5)]
    draws = bootstrap_quantiles(units, 0.5, seed=0, replicates=50)
    assert draws.mean() == pytest.approx(float(np.median(np.concatenate(units))), rel=1e-3)


@pytest.mark.parametrize("launches", [3, 5])
@pytest.mark.parametrize("spread", [0.0005, 0.02])
def test_interval_of_the_median_covers_with_few_launches(launches: int, spread: float) -> None:
    # launch effects of 0.5 %, above or below the spread inside a launch; bound at 3.3 standard errors
    rng = np.random.default_rng(launches)
    covered = 0
    for run in range(200):
        effects = rng.normal(0.0, 0.005, launches)
        found = latency_quantile(cell(*[[np.exp(rng.normal(e, spread, 20))] for e in effects]), seed=run)
        assert found is not None
        covered += found.ci95[0] <= 1.0 <= found.ci95[1]
    assert covered / 200 >= 0.95 - 3.3 * math.sqrt(0.95 * 0.05 / 200)


@pytest.mark.parametrize(("launches", "covered"), [(3, 0.75), (5, 0.84)])
def test_a_percentile_interval_of_few_launches_does_not_cover(launches: int, covered: float) -> None:
    # all draws of the launch means, enumerated: why the intervals here are Student's t
    values = np.random.default_rng(0).standard_normal((2000, launches))
    draws = np.array(list(itertools.product(range(launches), repeat=launches)))
    low, high = np.quantile(values[:, draws].mean(axis=-1), [0.025, 0.975], axis=1, method="inverted_cdf")
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(covered, abs=0.03)
