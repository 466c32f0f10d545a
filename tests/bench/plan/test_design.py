"""How a budget is spent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthport.bench.plan.design import (
    MAX_ROUND_NOISE,
    ROUND_NOISE,
    CellCost,
    block_samples,
    block_warmups,
    choose_design,
    expected_half_width,
    round_noise,
    warmup_rule,
)
from depthport.bench.plan.schedule import Order
from depthport.exporters.core.errors import UsageError

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")


def test_expected_half_width_in_closed_form() -> None:
    assert expected_half_width(5, 1, Order.MIRRORED, 0.005, 0.02) == pytest.approx(
        2.776445 * math.sqrt((2 * 0.005**2 + 0.02**2) / 5), rel=1e-6
    )
    assert expected_half_width(1, 5, Order.MIRRORED, 0.0, 0.02) == pytest.approx(2.776445 * 0.02 / math.sqrt(5))
    assert expected_half_width(1, 1000, Order.MIRRORED, 0.008, 0.0) == pytest.approx(2.570582 * 0.008 * math.sqrt(2))
    assert expected_half_width(1, 1, Order.MIRRORED) == math.inf


def test_two_random_rounds_are_worth_less_than_a_mirrored_one() -> None:
    designs = ((2000, Order.RANDOM), (1000, Order.MIRRORED))
    random, mirrored = (expected_half_width(1, n, order, 0.0) for n, order in designs)
    assert random == pytest.approx(mirrored * math.sqrt(2.5 / 2), rel=1e-3)


@pytest.mark.parametrize(
    ("call_s", "samples", "warmups"),
    [(1e-4, 50, 10), (0.001, 15, 10), (0.005, 3, 2), (0.02, 1, 1), (0.2, 1, 1), (0.3, 1, 0)],
)
def test_blocks(call_s: float, samples: int, warmups: int) -> None:
    assert (block_samples(call_s), block_warmups(call_s)) == (samples, warmups)


def test_warmup_rule() -> None:
    assert (warmup_rule(0.005).window, warmup_rule(0.1).window, warmup_rule(2.0).window) == (40, 5, 1)


def test_time_for_many_starts_is_spent_on_several() -> None:
    design = choose_design([CellCost(0.125, 8.0)] * 6, budget_s=300.0)
    assert design.launches >= 3
    assert design.rounds >= 3
    assert design.order is Order.MIRRORED
    assert design.expected_s <= 300.0


def test_noise_is_measured_on_blocks_of_what_was_called_before() -> None:
    steps = [10.0, 10.0, 11.0, 11.0] * 4
    assert round_noise([([10.0] * 16, 2)]) == ROUND_NOISE
    assert round_noise([([10.0, 10.0, 20.0, 20.0] * 4, 2)]) == MAX_ROUND_NOISE
    assert round_noise([(steps, 2)]) == pytest.approx(math.log(1.1) / math.sqrt(2))
    assert round_noise([(steps[:6], 2), ([], 1)]) == ROUND_NOISE  # three blocks say nothing


def test_a_noisy_machine_gets_more_rounds_of_fewer_launches() -> None:
    cells = [CellCost(0.15, 1.0)] * 3
    calm, rough = (choose_design(cells, 60.0, round_noise=noise) for noise in (0.005, 0.1))
    assert rough.rounds > calm.rounds
    assert rough.launches < calm.launches


def test_starts_as_dear_as_the_budget_are_made_once() -> None:
    """504 x 504 on two cores: a start of 20 s, and rounds of 5 s."""
    design = choose_design([CellCost(0.5, 4.0)] * 5, budget_s=90.0)
    assert design.launches <= 2
    assert design.rounds >= 5
    assert design.expected_s <= 90.0


def test_a_budget_that_fits_nothing_is_exceeded_openly() -> None:
    design = choose_design([CellCost(9.0, 10.0)] * 4, budget_s=10.0)
    assert (design.launches, design.rounds, design.order) == (1, 3, Order.RANDOM)
    assert design.expected_s == pytest.approx(40.0 + 3 * 36.0)


costs = st.lists(st.builds(CellCost, st.floats(1e-4, 20.0), st.floats(0.0, 60.0)), min_size=1, max_size=8)


@given(costs, st.floats(1.0, 3600.0))
def test_more_time_is_never_worse(cells: list[CellCost], budget_s: float) -> None:
    less, more = choose_design(cells, budget_s), choose_design(cells, 2 * budget_s)
    if less.expected_s <= budget_s:
        assert more.expected_half_width <= less.expected_half_width * (1 + 1e-12)
    assert (less.launches, less.rounds) == (1, 3) or less.expected_s <= budget_s * (1 + 1e-9)


@pytest.mark.parametrize(
    ("cells", "budget_s"),
    [([], 60.0), ([CellCost(1.0, 1.0)], 0.0), ([CellCost(0.0, 1.0)], 60.0), ([CellCost(1.0, -1.0)], 60.0)],
)
def test_refuses(cells: list[CellCost], budget_s: float) -> None:
    with pytest.raises(UsageError):
        choose_design(cells, budget_s)


def more_launches(cells: list[CellCost], left_s: float, begun: int, noise: float = ROUND_NOISE) -> int:
    return choose_design(cells, left_s, round_noise=noise, orders=(Order.MIRRORED,), begun=begun, rounds=4).launches - begun


def test_cheap_starts_left_over_are_made() -> None:
    cheap, dear = [CellCost(0.3, 2.0)] * 3, [CellCost(0.3, 30.0)] * 3
    assert more_launches(cheap, 80.0, 1) >= 3
    assert more_launches(dear, 80.0, 1) == 0
    assert more_launches(cheap, 1.0, 1) == more_launches(cheap, -1.0, 1) == 0
    assert more_launches(cheap, 80.0, 1, noise=0.2) <= 2


@given(st.floats(0.01, 2.0), st.floats(0.0, 30.0), st.floats(0.0, 600.0), st.integers(1, 20))
def test_added_launches_fit_into_what_is_left(visit_s: float, launch_s: float, left_s: float, begun: int) -> None:
    more = more_launches([CellCost(visit_s, launch_s)] * 2, left_s, begun)
    assert 0 <= more <= 20 - begun
    assert more == 0 or more * (2 * launch_s + 3 * 4 * visit_s) <= left_s * (1 + 1e-9)
