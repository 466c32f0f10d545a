"""Which cells live together, and in what order they take turns: a plan that is a pure function of its inputs.

One worker is active at a time. A round gives every live cell its turns, in one of two orders:

    mirrored   a random permutation, then the same backwards (A C B | B C A): two blocks a cell. Whatever
    drifts in a
               straight line over the round cancels exactly, and the permutation makes the rest average out.
    random     a random permutation: one block a cell, half the cost, for calls so slow that a mirrored round
    does not fit.

A fixed order is never used: simulated with 5 % drift its ratios are biased by the drift between two turns,
and rounds cannot average it away (`python -m depthport.bench.studies.simulate`). Order matters more than counts (Georges
et al. 2007; "duet" benchmarking, Bulej et al. 2020, arXiv 2001.05811).

A *launch set* starts the processes of one group of cells, runs its rounds and ends them. Several sets show
how much one process start differs from the next (Kalibera & Jones 2013). Where not all fit in memory, each
group holds the baseline and the controls again, because every ratio is formed inside one launch set. A cell
that does not even fit beside those is measured with processes relaunched for each block, each such round
being its own launch set.

Permutations are sorted hashes of (seed, launch set, round, cell), not a generator's stream: the same on every
platform and version, so a resumed run gets the same plan, and adding a cell leaves the relative order of the
others alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from depthport.exporters.core.errors import UsageError


class Order(str, Enum):
    MIRRORED = "mirrored"
    RANDOM = "random"

    @property
    def blocks_per_round(self) -> int:
        """Turns of one cell in one round."""
        return 2 if self is Order.MIRRORED else 1


@dataclass(frozen=True)
class Slot:
    """One turn: the cell that is active at `position` of a round."""

    launch: int
    round: int
    position: int
    cell: str

    @property
    def key(self) -> tuple[int, int, int]:
        """What identifies the block on disk."""
        return self.launch, self.round, self.position


@dataclass(frozen=True)
class Group:
    """Cells of one launch set: all alive at once, or (not `resident`) one process at a time, one a block."""

    cells: tuple[str, ...]
    resident: bool = True


@dataclass(frozen=True)
class LaunchSet:
    """One start of a group's processes, in the order of `start_order`, and its rounds."""

    launch: int
    repeat: int
    """How many times the group was launched before."""
    group: Group
    start_order: tuple[str, ...]
    rounds: tuple[tuple[str, ...], ...]

    def slots(self) -> Iterator[Slot]:
        for index, order in enumerate(self.rounds):
            for position, cell in enumerate(order):
                yield Slot(self.launch, index, position, cell)


@dataclass(frozen=True)
class Plan:
    """All launch sets in the order they run."""

    groups: tuple[Group, ...]
    launch_sets: tuple[LaunchSet, ...]

    def slots(self) -> Iterator[Slot]:
        for launch_set in self.launch_sets:
            yield from launch_set.slots()

    def remaining(self, done: Collection[tuple[int, int, int]]) -> tuple[Slot, ...]:
        """Slots whose key is not in `done`, in order."""
        finished = frozenset(done)
        return tuple(slot for slot in self.slots() if slot.key not in finished)


def shuffled(cells: Sequence[str], *salt: object) -> tuple[str, ...]:
    """A permutation of distinct `cells`, a pure function of the set of names and of `salt`."""

    def digest(cell: str) -> bytes:
        return hashlib.blake2b(repr((*salt, cell)).encode(), digest_size=16).digest()

    return tuple(sorted(cells, key=digest))


def round_order(cells: Sequence[str], order: Order, seed: int, launch: int, index: int) -> tuple[str, ...]:
    """The cells' turns in round `index` of launch set `launch`."""
    permutation = shuffled(cells, seed, launch, index)
    return permutation + permutation[::-1] if order is Order.MIRRORED else permutation


def live_groups(
    cells: Sequence[str],
    always: Sequence[str],
    memory_mib: Mapping[str, float] | None = None,
    capacity_mib: float | None = None,
) -> tuple[Group, ...]:
    """Partition `cells` into groups that fit in `capacity_mib`, `always` (baseline, controls) in each.

    First fit in order of decreasing memory (within 11/9 of the fewest groups, Johnson 1973); ties keep the
    order given. Without `memory_mib` or `capacity_mib` all are one group. A cell that does not fit beside
    `always` gets a group of its own that is not resident.

    Raises:
        UsageError: names repeat, or the memory of a cell is not known or not a size.
    """
    names = [*always, *cells]
    if len(set(names)) != len(names):
        raise UsageError("cells of a schedule must have different names, and the baseline is not among the others")
    if not names:
        raise UsageError("nothing to schedule: give at least one cell")
    if memory_mib is None or capacity_mib is None:
        return (Group(tuple(names)),)
    for name in names:
        if not memory_mib.get(name, -1.0) >= 0.0:
            raise UsageError(f"memory of cell {name} is not known: measure it, or schedule without a capacity")
    fixed = sum(memory_mib[name] for name in always)
    fits = [cell for cell in cells if fixed + memory_mib[cell] <= capacity_mib]
    bins: list[list[str]] = []
    for cell in sorted(fits, key=lambda name: -memory_mib[name]):
        load = memory_mib[cell] + fixed
        for members in bins:
            if load + sum(memory_mib[name] for name in members) <= capacity_mib:
                members.append(cell)
                break
        else:
            bins.append([cell])
    place = {name: i for i, name in enumerate(names)}
    groups = [Group((*always, *sorted(members, key=place.__getitem__))) for members in bins]
    groups += [Group((*always, cell), resident=False) for cell in cells if cell not in fits]
    return tuple(groups) or (Group(tuple(always), resident=fixed <= capacity_mib),)


def make_plan(groups: Sequence[Group], launches: int, rounds: int, order: Order = Order.MIRRORED, seed: int = 0) -> Plan:
    """`launches` launch sets of `rounds` rounds for every group; groups take turns in random order.

    A group that is not resident gets `launches * rounds` sets of one round: there every round is a launch.

    Raises:
        UsageError: no group, or fewer than one launch or round.
    """
    if not groups or launches < 1 or rounds < 1:
        raise UsageError(f"a plan needs a group, a launch and a round: {len(groups)}, {launches}, {rounds}")
    sets: list[LaunchSet] = []
    for repeat in range(launches):
        turns = {f"group {i}": group for i, group in enumerate(groups)}
        for name in shuffled(list(turns), seed, "groups", repeat):
            group = turns[name]
            passes = [rounds] if group.resident else [1] * rounds
            for part, count in enumerate(passes):
                launch = len(sets)
                orders = tuple(round_order(group.cells, order, seed, launch, i) for i in range(count))
                start = shuffled(group.cells, seed, launch, "start")
                sets.append(LaunchSet(launch, repeat * len(passes) + part, group, start, orders))
    return Plan(tuple(groups), tuple(sets))
