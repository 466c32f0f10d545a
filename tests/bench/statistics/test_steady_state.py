"""End of warm-up, the stop rule, drift."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from depthport.bench.statistics.samples import Block, CellSamples
from depthport.bench.statistics.steady_state import drift, slope_estimate, steady_state
from depthport.exporters.core.errors import UsageError

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")


def warmup(length: int, tau: float, height: float, noise: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    curve = 1e6 * (1 + height * np.exp(-np.arange(length) / tau))
    noisy: NDArray[np.float64] = curve * np.exp(noise * rng.standard_normal(length))
    return noisy


@pytest.mark.parametrize("n", range(10))
def test_too_short_a_series_is_not_steady(n: int) -> None:
    assert steady_state([5.0] * n, window=5) is None


def test_a_constant_series_is_steady_from_its_second_window() -> None:
    assert steady_state([5.0] * 10, window=5) == 5
    assert steady_state([5.0] * 2, window=1) == 1


def test_slow_calls_at_the_start_are_warm_up() -> None:
    samples = [100.0, 60.0] + [20.0] * 20
    assert (steady_state(samples, window=5) or 0) >= 2
    assert steady_state(samples, window=1) == 3


def test_a_step_inside_the_series_is_waited_for() -> None:
    assert steady_state([9.0, 7.0, 5.0, 4.0, 4.0, 4.0], window=1, tolerance=0.05) == 4


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
def test_what_is_left_of_a_slow_warm_up_is_small(noise: float) -> None:
    for seed in range(20):
        samples = warmup(200, tau=10.0, height=1.0, noise=noise, seed=seed)
        index = steady_state(samples, window=5)
        assert index is not None
        assert math.exp(-index / 10.0) < 0.12


def test_noise_alone_does_not_hold_up_a_run() -> None:
    found = [steady_state(warmup(60, 1.0, 0.0, noise=0.1, seed=seed), window=5) for seed in range(200)]
    assert None not in found
    assert np.median([index for index in found if index is not None]) <= 6


def test_a_series_that_never_settles_is_a_finding() -> None:
    assert steady_state(1e6 * 0.97 ** np.arange(100), window=5) is None
    assert steady_state([1e6, 2e6] * 50, window=1) is None


@given(st.lists(st.floats(1.0, 1e9), min_size=2, max_size=60), st.integers(1, 6))
def test_more_samples_never_move_the_index(samples: list[float], window: int) -> None:
    found = steady_state(samples, window)
    growing = [steady_state(samples[:n], window) for n in range(len(samples) + 1)]
    first = next((index for index in growing if index is not None), None)
    assert found == first
    assert found is None or window <= found <= len(samples) - window


@pytest.mark.parametrize(("window", "tolerance"), [(0, 0.01), (-1, 0.01), (5, 0.0), (5, math.nan)])
def test_steady_state_refuses(window: int, tolerance: float) -> None:
    with pytest.raises(UsageError, match="steady state needs"):
        steady_state([1.0] * 20, window, tolerance)


def cell(launches: Sequence[Sequence[float]]) -> CellSamples:
    blocks = [
        Block(launch, index, np.array([ns])) for launch, rounds in enumerate(launches) for index, ns in enumerate(rounds)
    ]
    return CellSamples("c", tuple(blocks))


def test_slope_by_hand() -> None:
    slope, error = slope_estimate(np.array([0.0, 1.0, 5.0]))
    # over times -1/2, 0, 1/2: slope 5; residuals 1/2, -1, 1/2 with 1 degree of freedom over a power of 1/2
    assert slope == pytest.approx(5.0)
    assert error == pytest.approx(math.sqrt(1.5 / 0.5))


def test_slope_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).standard_normal(9)
    theirs = stats.linregress(np.linspace(0, 1, 9), values)
    assert slope_estimate(values) == pytest.approx((theirs.slope, theirs.stderr))


def test_drift_of_a_run() -> None:
    found = drift(cell([[1.00 * f for f in (1.0, 1.001)], [1.02, 1.021], [1.04, 1.041], [1.061, 1.06]]))
    assert found is not None
    assert found.change == pytest.approx(0.06, abs=0.002)
    assert found.ci95[0] < found.change < found.ci95[1]
    assert found.detected


def test_drift_needs_three_replicates() -> None:
    assert drift(CellSamples("c", ())) is None
    assert drift(cell([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])) is None
    assert drift(cell([[1.0, 2.0]])) is None
    assert drift(cell([[1.0, 1.0, 1.0]])) is not None


def test_a_constant_cell_has_no_drift() -> None:
    found = drift(cell([[7.0]] * 5))
    assert found is not None
    assert found.change == pytest.approx(0.0, abs=1e-12)
    assert not found.detected or abs(found.change) < 1e-12


def test_false_drift_is_rare() -> None:
    rng = np.random.default_rng(0)
    found = [drift(cell([list(np.exp(0.01 * rng.standard_normal(20)))])) for _ in range(400)]
    false = sum(d is not None and d.detected for d in found) / len(found)
    assert false <= 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / 400)
