"""Orders of turns."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from depthport.bench.plan.schedule import Order, round_order, shuffled

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
seeds = st.integers(0, 2**32)


def test_the_order_is_pinned() -> None:
    # Resuming needs the same plan tomorrow, on another machine, with another version of everything.
    cells = ("a", "b", "c", "d")
    assert round_order(cells, Order.MIRRORED, 0, 0, 0) == ("a", "c", "b", "d", "d", "b", "c", "a")
    assert round_order(cells, Order.RANDOM, 7, 1, 2) == ("b", "a", "d", "c")


@given(names, seeds, st.integers(0, 20), st.integers(0, 20))
def test_a_mirrored_round_is_a_permutation_and_its_reverse(cells: list[str], seed: int, launch: int, index: int) -> None:
    order = round_order(cells, Order.MIRRORED, seed, launch, index)
    half = len(cells)
    assert sorted(order[:half]) == sorted(cells)
    assert order[half:] == order[:half][::-1]
    assert round_order(cells, Order.RANDOM, seed, launch, index) == order[:half]


@given(names, seeds)
def test_the_order_of_the_list_does_not_matter(cells: list[str], seed: int) -> None:
    assert shuffled(cells, seed) == shuffled(cells[::-1], seed)


@given(names, st.text(min_size=9, max_size=9), seeds)
def test_adding_a_cell_leaves_the_others_in_order(cells: list[str], new: str, seed: int) -> None:
    assert tuple(name for name in shuffled([*cells, new], seed) if name != new) == shuffled(cells, seed)


def test_permutations_are_uniform() -> None:
    counts = Counter(round_order(("a", "b", "c"), Order.RANDOM, 0, 0, i) for i in range(6000))
    assert len(counts) == 6
    assert all(abs(n - 1000) < 4.5 * (1000 * 5 / 6) ** 0.5 for n in counts.values())


def test_rounds_launches_and_seeds_differ() -> None:
    cells = tuple("abcdefgh")
    orders = {round_order(cells, Order.RANDOM, *salt) for salt in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}
    assert len(orders) == 4


def test_blocks_per_round() -> None:
    assert (Order.MIRRORED.blocks_per_round, Order.RANDOM.blocks_per_round) == (2, 1)
