"""One scene over several GPUs: their views, and their exchanges.

Views are sharded. Attention within a view, the MLPs, the head and the camera decoder need no more than their own views.
A block across views attends with all tokens of the scene, but its heads do not know of each other: so before it every
card sends each other card the queries, keys and values of that card's share of the heads, attends with its own share
over all views, and sends the results back to where the views are (Jacobs et al. 2023, DeepSpeed-Ulysses,
arXiv:2309.14509). Both ways are one all-to-all of torch.distributed. Two processes or more, one a card, each with a
network of the same parameters; nothing is approximated, and only the shapes of the matrix products differ from those
of one card, and with them the order of their sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from depthport.exporters.core.errors import UnsupportedError


def views_by_card(views: int, cards: int) -> tuple[int, ...]:
    """Return the number of a scene's views per GPU, in order: as even as possible, larger shares first.

    Raises:
        UnsupportedError: more cards than views.
    """
    if cards > views:
        raise UnsupportedError(f"{views} views can't be spread over {cards} GPUs: use at most as many GPUs as views")
    return tuple(views // cards + (card < views % cards) for card in range(cards))


class Cards:
    """One card's place among those that compute a scene together; the default process group is theirs."""

    def __init__(self, shares: Sequence[int], rank: int, heads: int) -> None:
        """Share out the views and heads.

        Args:
            shares: views of each card (:func:`views_by_card`).
            rank: of this one, in the process group too.
            heads: of the network's attention.

        Raises:
            UnsupportedError: heads that can't be shared out evenly.
        """
        if heads % len(shares):
            fit = ", ".join(str(n) for n in range(2, heads + 1) if heads % n == 0)
            raise UnsupportedError(f"{heads} attention heads can't be shared by {len(shares)} GPUs: use {fit}")
        self.shares, self.rank = tuple(shares), rank
        self.views = sum(shares)
        """N, of the scene."""
        self.first = sum(shares[:rank])
        """Index in the scene of this card's first view."""
        self.clock: ExchangeClock | None = None

    @property
    def count(self) -> int:
        return len(self.shares)

    def gather(self, x: Tensor) -> Tensor:
        """(n, C) of this card's views to (N, C) of all views, the same on every card."""
        return self._exchange(x.repeat(self.count, 1), [len(x)] * self.count, self.shares)

    def spread_heads(self, packed: Tensor) -> Tensor:
        """Rearrange this GPU's views, all heads, into all views, this GPU's heads.

        From (cards, n, T, 3, heads / cards, D), one part per GPU, to (N, T, 3, heads / cards, D).
        """
        return self._exchange(packed.flatten(0, 1), [packed.shape[1]] * self.count, self.shares)

    def collect_heads(self, x: Tensor) -> Tensor:
        """(N, T, heads / cards, D) of all views, contiguous, to (n, T, C) of this card's views."""
        views = self.shares[self.rank]
        found = self._exchange(x, self.shares, [views] * self.count).unflatten(0, (self.count, views))
        return _words(found).permute(1, 2, 0, 3, 4).flatten(2).view(x.dtype)

    def _exchange(self, x: Tensor, sent: Sequence[int], received: Sequence[int]) -> Tensor:
        """Rows of `x` to the cards, `sent` to each in order, and `received` from each."""
        from torch.distributed import all_to_all_single

        found = x.new_empty(sum(received), *x.shape[1:])
        if self.clock is not None:
            self.clock.begin()
        # As bytes: not every backend knows every dtype.
        all_to_all_single(_words(found), _words(x), list(received), list(sent))
        if self.clock is not None:
            self.clock.end()
        return found


class ExchangeClock:
    """Time that the device spends in the exchanges of a call, waiting for the slowest card included."""

    def __init__(self) -> None:
        self._pairs: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def restart(self) -> None:
        """Forget the calls before."""
        self._pairs.clear()

    def begin(self) -> None:
        self._pairs.append((torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
        self._pairs[-1][0].record()

    def end(self) -> None:
        self._pairs[-1][1].record()

    def milliseconds(self) -> float:
        """Time since :meth:`restart`; waits for the last exchange."""
        if self._pairs:
            self._pairs[-1][1].synchronize()
        return float(sum(begin.elapsed_time(end) for begin, end in self._pairs))


def _words(x: Tensor) -> Tensor:
    """`x` as eight-byte words along its last dimension: copies of transposed tensors go element by element."""
    return x.view(torch.int64)
