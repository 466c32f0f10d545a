"""A figure that the container's quota made says so: in its interval, its verdict and the controls."""

from __future__ import annotations

from typing import Literal

import pytest

from depthport.bench.analysis.controls import nothing_found
from depthport.bench.analysis.quota import carried, opened
from depthport.bench.results.model import Speedup

FASTER = Speedup(3.0, (2.9, 3.1), "faster", "the whole 95 % interval is beyond ±2 %")


@pytest.mark.parametrize("share", [None, 0.0, 0.01])
def test_without_a_quota_figures_are_what_they_are(share: float | None) -> None:
    assert opened((9.0, 11.0), share) == (9.0, 11.0)
    assert carried(FASTER, share, share) == FASTER


def test_the_interval_holds_what_it_could_have_been() -> None:
    assert opened((9.0, 11.0), 0.6667) == pytest.approx((3.0, 11.0), rel=1e-3)
    assert opened((9.0, 11.0), 1.8) == pytest.approx((0.45, 11.0))
    assert opened(None, 0.5) is None


@pytest.mark.parametrize("shares", [(0.5, 0.0), (None, 0.5), (0.2, 0.5)])
def test_a_comparison_with_what_stood_still_says_nothing(shares: tuple[float | None, float | None]) -> None:
    found = carried(FASTER, *shares)
    assert found.verdict == "inconclusive" and "CPU quota" in found.reason
    assert found.ratio == FASTER.ratio


@pytest.mark.parametrize(
    ("verdict", "ci95", "passed"),
    [
        ("equivalent", (0.99, 1.01), True),
        ("inconclusive", (0.95, 1.04), True),
        ("inconclusive", (0.0, 11.0), False),
        ("inconclusive", (0.8, 1.05), False),
        ("inconclusive", None, False),
        ("faster", (1.03, 1.06), False),
    ],
)
def test_an_a_a_control_passes_where_it_shows_that_nothing_is_found(
    verdict: Literal["faster", "equivalent", "inconclusive"], ci95: tuple[float, float] | None, passed: bool
) -> None:
    assert nothing_found(Speedup(1.0, ci95, verdict)) is passed
