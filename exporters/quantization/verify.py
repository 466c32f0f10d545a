"""The whole mix on pictures that it was not calibrated on: layers go until it keeps its budget, and come while it does.

The table is of single layers on few scenes, and quadrature is an expectation, not a bound; how far cameras turn differs
by several times between scenes. So what was chosen is tried together, at the artifact's own shape, before it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from depthport.exporters.quantization.mix import Budget, Loss, bargains, give_back, quadrature
from depthport.exporters.quantization.trial import Trial

MISSES = 3
"""Layers tried again one by one without success, after which no more are."""


@dataclass(frozen=True)
class Found:
    """Loss of all layers together, the worst of `scenes` scenes."""

    scenes: int
    depth: float
    """Relative L2."""
    rotation_deg: float
    given_back: tuple[str, ...] = ()
    """Layers that were chosen and did not stay, in this order."""
    added: tuple[str, ...] = ()
    """Layers that were not, or had gone, and fitted in."""


def keep_within(
    trial: Trial,
    chosen: Sequence[Loss],
    table: Sequence[Loss],
    budget: Budget,
    progress: Callable[[str], None],
    room: Budget | None = None,
) -> tuple[list[Loss], Found]:
    """The mix to write: of `chosen` what the budget allows on every scene, then whatever else of `table` still fits.

    Args:
        trial: at the artifact's own shape, on scenes that calibrated nothing.
        chosen: to begin with, of `table`.
        table: the loss of each layer alone.
        budget: of all together, on the worst scene.
        progress: told what is lost.
        room: what layers that come in later may use up; the whole budget if None.

    Returns:
        The mix, empty if not one layer keeps the budget, and what it loses.
    """
    kept, gone = list(chosen), []
    while True:
        depth, rotation = trial.errors(kept)
        progress(f"{len(kept)} layers in fewer bits, {len(trial)} held-out scenes: depth {depth:.1e}, {rotation:.2f}°")
        if not kept or budget.holds(depth, rotation):
            break
        for loss in give_back(kept, budget, depth, rotation):
            gone.append(loss)
            kept.remove(loss)
    added: list[Loss] = []
    if kept:
        others = [loss for loss in table if loss not in kept]
        added, (depth, rotation) = _grow(trial, kept, others, room or budget, (depth, rotation))
        progress(f"{len(added)} more fit in: depth {depth:.1e}, {rotation:.2f}°")
    back, more = (tuple(loss.layer for loss in some if loss not in other) for some, other in ((gone, added), (added, gone)))
    return [*kept, *added], Found(len(trial), depth, rotation, back, more)


def _grow(
    trial: Trial, kept: Sequence[Loss], others: Sequence[Loss], budget: Budget, found: tuple[float, float]
) -> tuple[list[Loss], tuple[float, float]]:
    """Of `others` what fits in beside `kept`, best bargain first, as many at once as should fit; and what all lose then."""
    rest, added = bargains(others, budget), list[Loss]()
    misses, most = 0, len(rest)
    while rest and misses < MISSES:
        count = 1
        while count < min(most, len(rest)) and budget.holds(*quadrature(rest[: count + 1], found)):
            count += 1
        now = trial.errors([*kept, *added, *rest[:count]], budget)
        if budget.holds(*now):
            added, found, most = [*added, *rest[:count]], now, len(rest)
        elif count > 1:
            most = count // 2
            continue
        else:
            misses += 1
        rest = rest[count:]
    return added, found
