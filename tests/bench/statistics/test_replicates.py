"""Replicates of what was timed, and their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depthport.bench.statistics.replicates import LAUNCH_NOISE, LAUNCH_NOISE_DF, batch_means, latency_batches, latency_error


@pytest.mark.parametrize(
    ("launches", "rounds", "batches"),
    [
        (1, 1, 1),
        (1, 2, 2),
        (1, 5, 2),
        (1, 9, 3),
        (1, 15, 5),
        (1, 1000, 5),
        (2, 2, 1),
        (2, 4, 2),
        (3, 4, 2),
        (2, 9, 3),
        (4, 9, 2),
        (5, 90, 1),
    ],
)
def test_latency_batches(launches: int, rounds: int, batches: int) -> None:
    assert latency_batches(launches, rounds) == (batches, 1.0)


def test_rounds_of_few_launches_are_replicates_with_a_wider_error() -> None:
    shared = 0.9**4
    assert latency_batches(1, 6, 4)[1] == pytest.approx(math.sqrt((1 + shared) / (1 - shared)))
    assert latency_batches(1, 15, 4) == (5, 1.0)
    assert latency_batches(2, 6, 4)[0] == 6 and latency_batches(5, 6, 4) == (1, 1.0)


def test_a_few_launches_add_the_luck_of_a_start() -> None:
    assert latency_error(0.01, 6, 1, 4.0) == (0.01, 5.0) == latency_error(0.01, 6, 3, None)
    error, df = latency_error(0.0, 6, 2, 4.0)
    assert error == pytest.approx(LAUNCH_NOISE / math.sqrt(2)) and df == pytest.approx(LAUNCH_NOISE_DF + 1)
    assert latency_error(1.0, 6, 2, 4.0)[1] == pytest.approx(5.0, rel=1e-3)


def test_batch_means() -> None:
    assert batch_means(np.arange(7, dtype=np.float64), 3).tolist() == [1.0, 3.5, 5.5]
    assert batch_means(np.arange(2, dtype=np.float64), 3).tolist() == [0.0, 1.0]
    assert batch_means(np.arange(12, dtype=np.float64).reshape(2, 6), 2).tolist() == [[1.0, 4.0], [7.0, 10.0]]
