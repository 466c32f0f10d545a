"""The midmean of weighted values, in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthport.bench.statistics.midmean import QUIET, midmean, quietness

ONE = np.ones(1)


def test_a_few_values_give_their_mean() -> None:
    assert midmean(np.array([5.0]), ONE).value == 5.0
    found = midmean(np.array([1.0, 2.0, 4.0]), np.ones(3))
    assert (found.value, found.df, found.n) == pytest.approx((7 / 3, 2.0, 3.0))
    assert found.squares / found.df == pytest.approx(7.0 / 3)  # the sample's variance
    weighted = midmean(np.array([0.0, 3.0]), np.array([2.0, 1.0]))
    assert (weighted.value, weighted.n) == pytest.approx((1.0, 9 / 5))


def test_the_middle_half_of_eight() -> None:
    found = midmean(np.array([99.0, -9.0, 1.0, 2.0, 3.0, 4.0, 9.0, -99.0]), np.ones(8))
    assert (found.value, found.df, found.n) == pytest.approx((2.5, 3.0, 8.0))
    drawn_in = np.array([1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0])
    assert found.squares / found.df == pytest.approx(8 * drawn_in.var() * 8 / (4 * 3))


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=30), st.floats(0.01, 100.0))
def test_the_order_of_values_and_the_scale_of_weights_do_not_matter(values: list[float], scale: float) -> None:
    drawn, weights = np.array(values), 1.0 + np.arange(len(values), dtype=np.float64)
    one, other = midmean(drawn, weights), midmean(drawn[::-1], scale * weights[::-1])
    assert other.value == pytest.approx(one.value, abs=1e-9) and other.n == pytest.approx(one.n)
    assert min(values) - 1e-9 <= one.value <= max(values) + 1e-9


def test_quiet_rounds_weigh_more_and_equal_ones_the_same() -> None:
    assert quietness(np.zeros(9)).tolist() == [1.0] * 9
    assert quietness(np.full(9, 0.5)).tolist() == [0.5] * 9
    assert quietness(np.array([0.0, 0.9])).tolist() == [1.0, 1.0]  # too few to tell
    weights = quietness(np.array([0.0] * 4 + [QUIET] * 4 + [0.5]))
    assert weights[:8].tolist() == pytest.approx([1.0] * 4 + [0.5] * 4) and weights[8] < 0.01
