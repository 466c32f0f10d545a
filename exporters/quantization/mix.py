"""Choice of layers to quantize: the most arithmetic within an error budget. Pure arithmetic.

Roundings of different layers are independent, so their errors add up in quadrature; the largest saving for an error is
taken first (greedy knapsack). The sum is an expectation; :mod:`depthport.exporters.quantization.verify` holds the mix to
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Loss:
    """Effect of quantizing one layer alone on the outputs, the worst over the calibration scenes."""

    layer: str
    gflop: float
    """Arithmetic of the layer in one inference of the artifact's shape."""
    depth: float
    """Relative L2 of depth."""
    rotation_deg: float
    """Largest rotation of a camera, degrees."""


@dataclass(frozen=True)
class Budget:
    """Loss allowed to all quantized layers together, by quadrature."""

    depth: float
    rotation_deg: float


def cost(loss: Loss, budget: Budget) -> float:
    """Share of the squared budget that a layer uses up, the scarcer of depth and rotation."""
    return max((loss.depth / budget.depth) ** 2, (loss.rotation_deg / budget.rotation_deg) ** 2)


def choose(losses: Sequence[Loss], budget: Budget) -> list[Loss]:
    """The layers to quantize, best bargain first; none whose error would break the budget together with those before."""
    chosen: list[Loss] = []
    depth = rotation = 0.0
    for loss in sorted(losses, key=lambda loss: (cost(loss, budget) / loss.gflop, loss.layer)):
        next_depth, next_rotation = depth + loss.depth**2, rotation + loss.rotation_deg**2
        if next_depth <= budget.depth**2 and next_rotation <= budget.rotation_deg**2:
            chosen.append(loss)
            depth, rotation = next_depth, next_rotation
    return chosen


def quadrature(losses: Sequence[Loss]) -> tuple[float, float]:
    """Depth and rotation error expected of all `losses` together."""
    return (sum(loss.depth**2 for loss in losses) ** 0.5, sum(loss.rotation_deg**2 for loss in losses) ** 0.5)


def give_back(chosen: Sequence[Loss], budget: Budget, depth: float, rotation_deg: float) -> list[Loss]:
    """Return which of the `chosen` to leave float, worst bargain first, so that the rest keeps the budget.

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
    bargain = (parts * (uses > 1)).max(axis=1, initial=0) / [loss.gflop for loss in chosen]
    returned: list[Loss] = []
    for index in np.argsort(-bargain, kind="stable"):
        if returned and (uses.max() <= 1 or len(returned) >= len(chosen) // 2):
            break
        returned.append(chosen[index])
        uses = uses - parts[index]
    return returned
