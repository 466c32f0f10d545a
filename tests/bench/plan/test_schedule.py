"""Orders of turns, groups that fit in memory, and plans."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthport.bench.plan.schedule import Group, Order, live_groups, make_plan, round_order, shuffled
from depthport.exporters.core.errors import UsageError

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
seeds = st.integers(0, 2**32)


def test_the_order_is_pinned():
    # Resuming needs the same plan tomorrow, on another machine, with another version of everything.
    cells = ("a", "b", "c", "d")
    assert round_order(cells, Order.MIRRORED, 0, 0, 0) == ("a", "c", "b", "d", "d", "b", "c", "a")
    assert round_order(cells, Order.RANDOM, 7, 1, 2) == ("b", "a", "d", "c")


@given(names, seeds, st.integers(0, 20), st.integers(0, 20))
def test_a_mirrored_round_is_a_permutation_and_its_reverse(cells, seed, launch, index):
    order = round_order(cells, Order.MIRRORED, seed, launch, index)
    half = len(cells)
    assert sorted(order[:half]) == sorted(cells)
    assert order[half:] == order[:half][::-1]
    assert round_order(cells, Order.RANDOM, seed, launch, index) == order[:half]


@given(names, seeds)
def test_the_order_of_the_list_does_not_matter(cells, seed):
    assert shuffled(cells, seed) == shuffled(cells[::-1], seed)


@given(names, st.text(min_size=9, max_size=9), seeds)
def test_adding_a_cell_leaves_the_others_in_order(cells, new, seed):
    assert tuple(name for name in shuffled([*cells, new], seed) if name != new) == shuffled(cells, seed)


def test_permutations_are_uniform():
    counts = Counter(round_order(("a", "b", "c"), Order.RANDOM, 0, 0, i) for i in range(6000))
    assert len(counts) == 6
    assert all(abs(n - 1000) < 4.5 * (1000 * 5 / 6) ** 0.5 for n in counts.values())


def test_rounds_launches_and_seeds_differ():
    cells = tuple("abcdefgh")
    orders = {round_order(cells, Order.RANDOM, *salt) for salt in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}
    assert len(orders) == 4


def test_blocks_per_round():
    assert (Order.MIRRORED.blocks_per_round, Order.RANDOM.blocks_per_round) == (2, 1)


def test_all_live_together_without_a_capacity():
    assert live_groups(["x", "y"], ["base"]) == (Group(("base", "x", "y")),)
    assert live_groups(["x", "y"], ["base"], {"x": 1, "y": 1, "base": 1}, 3) == (Group(("base", "x", "y")),)


def test_groups_fit_and_each_has_the_baseline_and_controls():
    memory = {"base": 2, "twin": 2, "a": 5, "b": 3, "c": 3, "d": 1}
    groups = live_groups(["a", "b", "c", "d"], ["base", "twin"], memory, 10)
    assert groups == (Group(("base", "twin", "a", "d")), Group(("base", "twin", "b", "c")))


def test_a_cell_that_does_not_fit_is_measured_with_processes_one_at_a_time():
    memory = {"base": 4, "a": 3, "huge": 9}
    groups = live_groups(["a", "huge"], ["base"], memory, 10)
    assert groups == (Group(("base", "a")), Group(("base", "huge"), resident=False))


def test_only_the_baseline():
    assert live_groups([], ["base"], {"base": 4}, 10) == (Group(("base",)),)
    assert live_groups([], ["base"], {"base": 40}, 10) == (Group(("base",), resident=False),)


@pytest.mark.parametrize(
    ("cells", "always", "memory", "message"),
    [
        (["a", "a"], [], None, "different names"),
        (["base"], ["base"], None, "different names"),
        ([], [], None, "at least one cell"),
        (["a"], ["base"], {"base": 1.0}, "memory of cell a is not known"),
        (["a"], ["base"], {"base": 1.0, "a": float("nan")}, "memory of cell a is not known"),
    ],
)
def test_live_groups_refuses(cells, always, memory, message):
    with pytest.raises(UsageError, match=message):
        live_groups(cells, always, memory, 10.0)


@given(st.lists(st.floats(0, 20), max_size=12), st.lists(st.floats(0, 5), min_size=1, max_size=3), st.floats(1, 40))
def test_every_cell_is_in_one_group_that_fits(sizes, fixed, capacity):
    cells, always = [f"c{i}" for i in range(len(sizes))], [f"base{i}" for i in range(len(fixed))]
    memory = dict(zip([*cells, *always], [*sizes, *fixed], strict=True))
    groups = live_groups(cells, always, memory, capacity)
    placed = [cell for group in groups for cell in group.cells if cell not in always]
    assert sorted(placed) == sorted(cells)
    for group in groups:
        assert group.cells[: len(always)] == tuple(always)
        if group.resident:
            assert sum(memory[cell] for cell in group.cells) <= capacity * (1 + 1e-9)
    if sum(memory.values()) <= capacity:
        assert len(groups) == 1


def test_a_plan_gives_every_cell_its_blocks():
    plan = make_plan([Group(("b", "x", "y"))], launches=3, rounds=4, seed=5)
    turns = Counter((slot.launch, slot.round, slot.cell) for slot in plan.slots())
    assert set(turns.values()) == {2}
    assert len(turns) == 3 * 4 * 3
    assert [launch_set.repeat for launch_set in plan.launch_sets] == [0, 1, 2]
    assert all(sorted(launch_set.start_order) == ["b", "x", "y"] for launch_set in plan.launch_sets)


def test_groups_take_turns_within_each_launch():
    groups = (Group(("b", "x")), Group(("b", "y")), Group(("b", "z")))
    plan = make_plan(groups, launches=8, rounds=1, seed=0)
    for repeat in range(8):
        found = [launch_set.group for launch_set in plan.launch_sets if launch_set.repeat == repeat]
        assert sorted(group.cells for group in found) == sorted(group.cells for group in groups)
    assert len({tuple(s.group.cells for s in plan.launch_sets[i : i + 3]) for i in range(0, 24, 3)}) > 1


def test_one_process_at_a_time_makes_every_round_a_launch():
    plan = make_plan([Group(("b", "huge"), resident=False)], launches=2, rounds=3)
    assert len(plan.launch_sets) == 6
    assert [launch_set.repeat for launch_set in plan.launch_sets] == list(range(6))
    assert all(len(launch_set.rounds) == 1 for launch_set in plan.launch_sets)


@given(names, seeds, st.integers(1, 4), st.integers(1, 4), st.sampled_from(Order))
def test_a_plan_is_a_pure_function_and_keys_are_unique(cells, seed, launches, rounds, order):
    plan = make_plan([Group(tuple(cells))], launches, rounds, order, seed)
    assert plan == make_plan([Group(tuple(cells))], launches, rounds, order, seed)
    keys = [slot.key for slot in plan.slots()]
    assert len(set(keys)) == len(keys) == launches * rounds * len(cells) * order.blocks_per_round
    assert keys == sorted(keys)


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_more_launches_extend_a_plan(seed, launches, more):
    groups = (Group(("b", "x")), Group(("b", "y"), resident=False))
    short, long = (make_plan(groups, n, 2, seed=seed).launch_sets for n in (launches, launches + more))
    assert long[: len(short)] == short


@given(seeds, st.sets(st.integers(0, 23)))
def test_what_remains_is_the_plan_less_what_is_done(seed, finished):
    plan = make_plan([Group(("b", "x", "y"))], 2, 2, seed=seed)
    slots = list(plan.slots())
    done = {slots[i].key for i in finished}
    remaining = plan.remaining(done)
    assert {slot.key for slot in remaining} | done == {slot.key for slot in slots}
    assert not {slot.key for slot in remaining} & done
    assert list(remaining) == [slot for slot in slots if slot in remaining]
    assert plan.remaining([]) == tuple(slots)


@pytest.mark.parametrize(("groups", "launches", "rounds"), [([], 1, 1), ([Group(("a",))], 0, 1), ([Group(("a",))], 1, 0)])
def test_make_plan_refuses(groups, launches, rounds):
    with pytest.raises(UsageError, match="a plan needs"):
        make_plan(groups, launches, rounds)
