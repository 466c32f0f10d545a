"""Student's t against closed forms, tables and, where it is installed, scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthport.bench.statistics.student_t import student_t_quantile, student_t_tail
from depthport.exporters.core.errors import UsageError

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")


def cdf(t: float, df: float) -> float:
    tail = student_t_tail(abs(t), df)
    return 1.0 - tail if t >= 0.0 else tail


@given(st.floats(-1e6, 1e6))
def test_one_degree_of_freedom_is_cauchy(t: float) -> None:
    assert cdf(t, 1.0) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-13)


@given(st.floats(-1e3, 1e3))
def test_two_degrees_of_freedom(t: float) -> None:
    assert cdf(t, 2.0) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-13)


@pytest.mark.parametrize(
    ("p", "df", "t"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.30265),
        (0.975, 4, 2.77645),
        (0.95, 4, 2.13185),
        (0.975, 30, 2.04227),
        (0.995, 9, 3.24984),
    ],
)
def test_quantiles_of_the_table(p: float, df: int, t: float) -> None:
    assert student_t_quantile(p, df) == pytest.approx(t, abs=1e-5)


def test_many_degrees_of_freedom_are_normal() -> None:
    assert student_t_quantile(0.975, 1e6) == pytest.approx(1.959964 + (1.959964**3 + 1.959964) / 4e6, abs=1e-6)


@given(st.floats(0.501, 0.99999), st.floats(0.6, 1e4))
def test_quantile_inverts_the_distribution(p: float, df: float) -> None:
    t = student_t_quantile(p, df)
    assert cdf(t, df) == pytest.approx(p, abs=1e-10)
    assert student_t_quantile(1.0 - p, df) == pytest.approx(-t, rel=1e-9)


def test_far_tail_does_not_round_to_zero() -> None:
    assert student_t_tail(1e8, 2.0) == pytest.approx(0.5e-16, rel=1e-6)
    assert student_t_tail(math.inf, 3.0) == 0.0
    assert student_t_tail(0.0, 3.0) == 0.5


@pytest.mark.parametrize("p", [0.0, 1.0, -1.0, math.nan])
def test_quantile_refuses(p: float) -> None:
    with pytest.raises(UsageError):
        student_t_quantile(p, 3.0)


@pytest.mark.parametrize(("t", "df"), [(1.0, 0.0), (1.0, -1.0), (1.0, math.nan), (math.nan, 1.0)])
def test_distribution_refuses(t: float, df: float) -> None:
    with pytest.raises(UsageError):
        cdf(t, df)


def test_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for df in (0.7, 1, 1.5, 2, 3.3, 4, 9, 29.5, 200, 1e5):
        for t in np.geomspace(1e-3, 1e3, 25):
            assert student_t_tail(float(t), df) == pytest.approx(stats.t.sf(t, df), rel=1e-9, abs=1e-300)
        for p in (0.9, 0.95, 0.975, 0.995, 0.9999):
            assert student_t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9)
