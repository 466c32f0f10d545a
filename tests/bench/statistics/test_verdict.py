"""Verdicts, their reasons, and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthport.bench.statistics.estimate import Estimate
from depthport.bench.statistics.samples import Block, CellSamples
from depthport.bench.statistics.verdict import Reason, Verdict, judge, rank, ratio
from depthport.exporters.core.errors import UsageError

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")


def cell(name: str, launches: Iterable[float], start: int = 0) -> CellSamples:
    """One round of one block of one sample a launch, in ns."""
    return CellSamples(name, tuple(Block(start + i, 0, np.array([ns])) for i, ns in enumerate(launches)))


def noisy(name: str, level: float, spread: float, launches: int = 5, seed: int = 0, start: int = 0) -> CellSamples:
    rng = np.random.default_rng(seed)
    return cell(name, level * np.exp(spread * rng.standard_normal(launches)), start)


@pytest.mark.parametrize(
    ("log", "error", "verdict", "reason"),
    [
        # t with 4 degrees of freedom: 2.776 at 95 %, 2.132 at 90 %; log 1.02 = 0.0198
        (0.100, 0.010, Verdict.FASTER, Reason.BEYOND_MARGIN),
        (0.030, 0.010, Verdict.FASTER, Reason.BEYOND_ONE),
        (-0.100, 0.010, Verdict.SLOWER, Reason.BEYOND_MARGIN),
        (-0.030, 0.010, Verdict.SLOWER, Reason.BEYOND_ONE),
        (0.000, 0.009, Verdict.EQUIVALENT, Reason.WITHIN_MARGIN),
        (0.010, 0.003, Verdict.EQUIVALENT, Reason.WITHIN_MARGIN_NOT_ONE),
        (0.000, 0.010, Verdict.INCONCLUSIVE, Reason.INTERVAL_TOO_WIDE),
        (0.020, 0.010, Verdict.INCONCLUSIVE, Reason.INTERVAL_TOO_WIDE),
    ],
)
def test_judge(log: float, error: float, verdict: Verdict, reason: Reason) -> None:
    found = judge(Estimate(log, error, 4.0, 5, 25))
    assert (found.verdict, found.reason) == (verdict, reason)
    assert found.ratio == pytest.approx(math.exp(log))
    assert found.ci95 == pytest.approx((math.exp(log - 2.77645 * error), math.exp(log + 2.77645 * error)), rel=1e-5)


def test_margin_is_a_choice() -> None:
    estimate = Estimate(0.03, 0.01, 4.0, 5, 25)
    assert judge(estimate, margin=0.10).verdict is Verdict.EQUIVALENT
    for bad in (0.0, -0.1, math.inf, math.nan):
        with pytest.raises(UsageError, match="margin"):
            judge(estimate, bad)


def test_without_spread_or_pairs_nothing_is_concluded() -> None:
    found = judge(Estimate(0.5, None, None, 1, 1))
    assert (found.verdict, found.reason, found.ci95) == (Verdict.INCONCLUSIVE, Reason.NO_SPREAD, None)
    found = judge(None)
    assert (found.ratio, found.reason) == (None, Reason.NO_COMMON_ROUND)


def test_two_launches_that_differ_absurdly_do_not_overflow() -> None:
    found = ratio(cell("b", [1e3, 1e12]), cell("c", [1e12, 1e3]))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.ci95 is not None
    assert 0.0 < found.ci95[0] < found.ci95[1] < math.inf


def test_verdicts_are_json_strings() -> None:
    assert str(Verdict.FASTER.value) == "faster"
    assert str(Reason.BEYOND_ONE.value) == "beyond_one"


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_explains_itself(reason: Reason) -> None:
    estimates = {
        Reason.BEYOND_MARGIN: Estimate(0.1, 0.01, 4.0, 5, 25),
        Reason.BEYOND_ONE: Estimate(0.03, 0.01, 4.0, 5, 25),
        Reason.WITHIN_MARGIN: Estimate(0.0, 0.005, 4.0, 5, 25),
        Reason.WITHIN_MARGIN_NOT_ONE: Estimate(0.01, 0.003, 4.0, 5, 25),
        Reason.INTERVAL_TOO_WIDE: Estimate(0.0, 0.05, 4.0, 5, 25),
        Reason.NO_SPREAD: Estimate(0.0, None, None, 1, 1),
        Reason.NO_COMMON_ROUND: None,
    }
    found = judge(estimates[reason])
    assert found.reason is reason
    assert len(found.explanation) > 30


def test_explanation_has_its_numbers_and_says_what_one_launch_is() -> None:
    text = judge(Estimate(math.log(1.05), 0.01, 4.0, 5, 25)).explanation
    assert text.startswith("1.050× [1.021, 1.080]: the whole 95 % interval is beyond ±2 %")
    one = judge(Estimate(0.1, 0.01, 9.0, 1, 10)).explanation
    assert one.endswith("one launch: that others differ by 0.8% is assumed")


def test_more_time_is_no_remedy_for_a_guess() -> None:
    noisy = Estimate(0.1, 0.1, 5.0, 2, 20, doubt=0.02)
    assert not noisy.in_doubt and "give more time" in judge(noisy).explanation
    guessed = Estimate(0.1, 0.1, 5.0, 2, 20, doubt=0.09)
    assert guessed.in_doubt and "close what else runs" in judge(guessed).explanation


@given(st.floats(-0.2, 0.2), st.floats(1e-5, 0.1), st.integers(1, 30))
def test_swapping_the_cells_mirrors_the_verdict(log: float, error: float, df: int) -> None:
    mirror = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    one, other = judge(Estimate(log, error, df, 2, 2)), judge(Estimate(-log, error, df, 2, 2))
    assert other.verdict is mirror.get(one.verdict, one.verdict)
    assert one.reason is other.reason


@given(st.floats(-0.2, 0.2), st.floats(1e-5, 0.1), st.integers(1, 30))
def test_a_verdict_agrees_with_its_interval(log: float, error: float, df: int) -> None:
    found = judge(Estimate(log, error, df, 2, 2))
    assert found.ci95 is not None
    assert found.ratio is not None
    if found.verdict is Verdict.FASTER:
        assert found.ci95[0] >= 1.0
    if found.verdict is Verdict.SLOWER:
        assert found.ci95[1] <= 1.0
    if found.verdict is Verdict.EQUIVALENT:
        assert 1 / 1.02 < found.ratio < 1.02
    assert found.ci95[0] <= found.ratio <= found.ci95[1]


def test_ratio_of_two_cells() -> None:
    found = ratio(cell("b", [200.0, 202.0, 198.0]), cell("c", [100.0, 101.0, 99.0]))
    assert found.ratio == pytest.approx(2.0)
    assert (found.verdict, found.n_launches, found.n_rounds) == (Verdict.FASTER, 3, 3)


def test_ranks_with_a_tie() -> None:
    baseline = noisy("base", 100.0, 0.002, seed=1)
    cells = [baseline, noisy("twin", 100.0, 0.002, seed=2), noisy("fast", 50.0, 0.002, seed=3)]
    cells.append(noisy("slow", 150.0, 0.002, seed=4))
    ranks = {entry.cell: entry for entry in rank(cells, baseline)}
    assert {name: entry.rank for name, entry in ranks.items()} == {"fast": 1, "base": 2, "twin": 2, "slow": 4}
    assert ranks["base"].tied_with == ("twin",)
    assert ranks["fast"].tied_with == ()
    assert rank(cells, baseline)[0].cell == "fast"


def test_equivalent_cells_are_tied_even_if_they_differ() -> None:
    baseline = cell("a", [100.0, 100.01, 99.99, 100.0, 100.0])
    other = cell("b", [101.0, 101.01, 101.0, 100.99, 101.0])
    assert ratio(baseline, other).reason is Reason.WITHIN_MARGIN_NOT_ONE
    assert [entry.rank for entry in rank([baseline, other], baseline)] == [1, 1]


def test_ties_need_not_be_transitive() -> None:
    shape = np.array([0.01, -0.01, 0.004, -0.004, 0.0])
    a = cell("a", 100.0 * np.exp(shape))
    b = cell("b", 101.5 * np.exp(-shape))
    c = cell("c", 103.0 * np.exp(shape))
    ranks = {entry.cell: entry for entry in rank([a, b, c], a)}
    assert ranks["c"].rank == 2
    assert ranks["b"].rank == 1
    assert ranks["a"].tied_with == ("b",)
    assert ranks["b"].tied_with == ("a", "c")


def test_cells_of_different_groups_are_ranked_through_the_baseline() -> None:
    # "left" lives in launch sets 0-4, "right" in 5-9, the baseline in all
    baseline = cell("base", [100.0, 100.1, 99.9, 100.0, 100.1, 120.0, 120.1, 119.9, 120.0, 120.1])
    left = cell("left", [50.0, 50.1, 49.9, 50.1, 50.0])
    right = cell("right", [90.0, 90.1, 89.9, 90.1, 90.0], start=5)
    ranks = rank([right, left, baseline], baseline)
    assert [(entry.cell, entry.rank) for entry in ranks] == [("left", 1), ("right", 2), ("base", 3)]


def test_what_was_not_measured_together_is_tied() -> None:
    baseline = cell("base", [100.0, 101.0, 100.0])
    lonely = cell("lonely", [1.0, 1.1, 1.0], start=7)
    ranks = rank([baseline, lonely], baseline)
    assert [entry.rank for entry in ranks] == [1, 1]
    assert ranks[0].tied_with == ("lonely",)


def test_rank_edges() -> None:
    baseline = cell("base", [100.0, 101.0])
    assert rank([], baseline) == ()
    assert [(r.cell, r.rank, r.tied_with) for r in rank([baseline], baseline)] == [("base", 1, ())]
    with pytest.raises(UsageError, match="different names"):
        rank([baseline, baseline], baseline)


def test_ranking_many_twins_keeps_the_family_error() -> None:
    # 6 equal cells, 15 pairs: without adjustment a third of the runs would rank some pair apart
    wrong = 0
    for seed in range(100):
        cells = [noisy(str(i), 100.0, 0.05, launches=6, seed=100 * seed + i) for i in range(6)]
        wrong += any(entry.rank > 1 for entry in rank(cells, cells[0]))
    assert wrong <= 5 + 3.3 * math.sqrt(100 * 0.05 * 0.95)
