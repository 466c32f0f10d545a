"""Which layers are quantized: the most arithmetic that a budget of errors buys. Pure arithmetic.

Roundings of different layers are independent, so their errors add up in quadrature; the largest saving for an error is
taken first (greedy knapsack). The sum is checked on the finished graph by the parity that every artifact is put to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """What quantizing one layer alone does to the outputs of the calibration scenes; the worst over them."""

    layer: str
    gflop: float
    """Arithmetic of the layer in one inference of the artifact's shape."""
    depth: float
    """Relative L2 of depth."""
    rotation_deg: float
    """Largest rotation of a camera, degrees."""


@dataclass(frozen=True)
class Budget:
    """How much all quantized layers together may lose, by quadrature."""

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


def together(losses: Sequence[Loss]) -> tuple[float, float]:
    """Depth and rotation error expected of all `losses` together."""
    return (
        sum(loss.depth**2 for loss in losses) ** 0.5,
        sum(loss.rotation_deg**2 for loss in losses) ** 0.5,
    )
