"""Order in which cells that are live together take turns: a pure function of its inputs.

One worker is active at a time. A round gives every live cell its turns, in one of two orders:

    mirrored   a random permutation, then the same backwards (A C B | B C A): two blocks a cell. Whatever drifts in a
               straight line over the round cancels exactly, and the permutation makes the rest average out.
    random     a random permutation: one block a cell, half the cost, for calls so slow that a mirrored round does not fit.

A fixed order is never used: simulated with 5 % drift its ratios are biased by the drift between two turns,
and rounds cannot average it away (`python -m depthport.bench.studies.simulate`). Order matters more than counts (Georges
et al. 2007; "duet" benchmarking, Bulej et al. 2020, arXiv 2001.05811).

A *launch set* starts the processes of all cells, runs its rounds and ends them; several show how much one process start
differs from the next (Kalibera & Jones 2013). Where not all fit in memory, each is restarted for every visit
(bench/measure/pool.py).

Permutations are sorted hashes of (seed, launch set, round, cell), not a generator's stream: the same on every platform
and version, so a resumed run gets the same plan, and adding a cell leaves the relative order of the others alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import Enum


class Order(str, Enum):
    """Order of the cells' turns within a round."""

    MIRRORED = "mirrored"
    RANDOM = "random"

    @property
    def blocks_per_round(self) -> int:
        """Turns of one cell in one round."""
        return 2 if self is Order.MIRRORED else 1


def shuffled(cells: Sequence[str], *salt: object) -> tuple[str, ...]:
    """A permutation of distinct `cells`, a pure function of the set of names and of `salt`."""

    def digest(cell: str) -> bytes:
        return hashlib.blake2b(repr((*salt, cell)).encode(), digest_size=16).digest()

    return tuple(sorted(cells, key=digest))


def round_order(cells: Sequence[str], order: Order, seed: int, launch: int, index: int) -> tuple[str, ...]:
    """The cells' turns in round `index` of launch set `launch`."""
    permutation = shuffled(cells, seed, launch, index)
    return permutation + permutation[::-1] if order is Order.MIRRORED else permutation
