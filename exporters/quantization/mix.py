"""Choice of layers to compute in fewer bits: the most time saved within an error budget. Pure arithmetic.

Roundings of different layers are independent, so their errors add up in quadrature; the largest saving for an error is
taken first (greedy knapsack). The sum is an expectation; :mod:`depthport.exporters.quantization.verify` holds the mix to
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

SAVED_MS = {"int8": 0.9, "bfloat16": 2.1}
"""Milliseconds a GFLOP that OpenVINO saves with int8 instead of bf16 (0.8 to 1.1 over the shapes of da3-small's linear
layers) and with bf16 instead of fp32 (2.1 to 2.3 for linear layers, convolutions and attention); one thread of Zen 5.
A stand-in for the time of each layer on the machine at hand, which is not measured."""


@dataclass(frozen=True)
class Loss:
    """Effect of one layer alone in fewer bits on the outputs, the worst over the calibration scenes."""

    layer: str
    gflop: float
    """Arithmetic of the layer in one inference of the artifact's shape."""
    depth: float
    """Relative L2 of depth."""
    rotation_deg: float
    """Largest rotation of a camera, degrees."""
    dtype: str = "int8"
    """What the layer is computed in: one of :data:`SAVED_MS`."""

    @property
    def saved(self) -> float:
        """Time that this saves, about, in milliseconds (:data:`SAVED_MS`)."""
        return self.gflop * SAVED_MS[self.dtype]


@dataclass(frozen=True)
class Budget:
    """Loss allowed to all quantized layers together, by quadrature."""

    depth: float
    rotation_deg: float

    def holds(self, depth: float, rotation_deg: float) -> bool:
        """Return whether errors keep within it."""
        return depth <= self.depth and rotation_deg <= self.rotation_deg


def cost(loss: Loss, budget: Budget) -> float:
    """Share of the squared budget that a layer uses up, the scarcer of depth and rotation."""
    return max((loss.depth / budget.depth) ** 2, (loss.rotation_deg / budget.rotation_deg) ** 2)


def bargains(losses: Iterable[Loss], budget: Budget) -> list[Loss]:
    """Layers by what the time they save costs, best first."""
    return sorted(losses, key=lambda loss: (cost(loss, budget) / loss.saved, loss.layer, loss.dtype))


def choose(losses: Iterable[Loss], budget: Budget) -> list[Loss]:
    """The layers to take, best bargain first; none whose error would break the budget together with those before."""
    chosen: list[Loss] = []
    for loss in bargains(losses, budget):
        if budget.holds(*quadrature([*chosen, loss])):
            chosen.append(loss)
    return chosen


def quadrature(losses: Sequence[Loss], spent: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float]:
    """Depth and rotation error expected of all `losses` together, and of what was `spent` before."""
    depth, rotation = spent
    return (
        (depth**2 + sum(loss.depth**2 for loss in losses)) ** 0.5,
        (rotation**2 + sum(loss.rotation_deg**2 for loss in losses)) ** 0.5,
    )


def scaled(table: Sequence[Loss], together: Sequence[Loss], found: tuple[float, float]) -> list[Loss]:
    """The table of small scenes as it is at the artifact's shape, where layers lose less or more, but alike.

    Args:
        table: the loss of each layer alone.
        together: those of them that were tried together at the artifact's shape.
        found: what they lost there.
    """
    depth, rotation = (
        whole / alone if alone > 0 else 1.0 for whole, alone in zip(found, quadrature(together), strict=True)
    )
    return [replace(loss, depth=loss.depth * depth, rotation_deg=loss.rotation_deg * rotation) for loss in table]


def give_back(chosen: Sequence[Loss], budget: Budget, depth: float, rotation_deg: float) -> list[Loss]:
    """Return which of the `chosen` to take back, worst bargain first, so that the rest keeps the budget.

    Whatever exceeds it is taken to shrink as the sum of squares does, of the figure in question.

    Args:
        chosen: the layers that were tried together.
        budget: what they may lose.
        depth: what they lose.
        rotation_deg: what they lose.

    Returns:
        At least one layer, unless none was chosen, and at most half of them (or one): where the table is wrong about a
        layer, what the others lose is not as bad as it looks.
    """
    uses = np.square([depth / budget.depth, rotation_deg / budget.rotation_deg])
    squares = np.array([(loss.depth, loss.rotation_deg) for loss in chosen], np.float64).reshape(len(chosen), 2) ** 2
    totals = squares.sum(axis=0)
    # Of what was found, each layer's part: by its share of the squares, or like the others where none lost anything.
    parts = uses * np.divide(squares, totals, out=np.full_like(squares, 1 / max(1, len(chosen))), where=totals > 0)
    bargain = (parts * (uses > 1)).max(axis=1, initial=0) / [loss.saved for loss in chosen]
    returned: list[Loss] = []
    for index in np.argsort(-bargain, kind="stable"):
        if returned and (uses.max() <= 1 or len(returned) >= len(chosen) // 2):
            break
        returned.append(chosen[index])
        uses = uses - parts[index]
    return returned
