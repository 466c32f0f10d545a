"""The whole mix on pictures that it was not calibrated on, and layers given back to float until it keeps its budget.

The table is of single layers on few scenes, and quadrature is an expectation, not a bound; how far cameras turn differs
by several times between scenes. So what was chosen is tried together, at the artifact's own shape, before it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import ExportError
from depthport.exporters.quantization.layers import candidates, hooked
from depthport.exporters.quantization.mix import Budget, Loss, give_back
from depthport.exporters.quantization.sensitivity import QuantizedLayer, compare, infer, simulate

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray


@dataclass(frozen=True)
class Found:
    """Loss of all quantized layers together, the worst of `scenes` scenes."""

    scenes: int
    depth: float
    """Relative L2."""
    rotation_deg: float
    given_back: tuple[str, ...] = ()
    """Layers that were chosen and did not stay, in this order."""


def keep_within(
    network: nn.Module,
    images: Sequence[Array],
    layers: Mapping[str, QuantizedLayer],
    table: Sequence[Loss],
    budget: Budget,
    progress: Callable[[str], None],
) -> tuple[dict[str, QuantizedLayer], Found]:
    """Give layers back to float, the worst bargains first, until those that stay keep `budget` on every scene.

    Args:
        network: static, fp32, with the output `depth` and, where the model has poses, `extrinsics`.
        images: scenes (B, N, 3, H, W) for it, none of which calibrated `layers`.
        layers: chosen, by name.
        table: the loss of each alone.
        budget: of all together, on the worst scene.
        progress: told what is lost.

    Raises:
        ExportError: no layer is left that the budget allows.
    """
    expected = [infer(network, image) for image in images]
    kept = {loss.layer: loss for loss in table if loss.layer in layers}
    gone: list[str] = []
    depth = rotation = float("inf")
    while kept:
        depth, rotation = together(network, images, expected, [layers[name] for name in kept])
        progress(f"{len(kept)} layers in 8 bits, {len(images)} held-out scenes: depth {depth:.1e}, {rotation:.2f}°")
        if depth <= budget.depth and rotation <= budget.rotation_deg:
            return {name: layers[name] for name in layers if name in kept}, Found(len(images), depth, rotation, tuple(gone))
        for loss in give_back(list(kept.values()), budget, depth, rotation):
            gone.append(loss.layer)
            del kept[loss.layer]
    raise ExportError(
        f"int8 can't keep depth within {budget.depth:g} and cameras within {budget.rotation_deg:g}° in any layer: "
        "raise max_depth_error or max_rotation_deg, calibrate on more photographs, or export fp32"
    )


def together(
    network: nn.Module, images: Sequence[Array], expected: Sequence[Mapping[str, Array]], layers: Sequence[QuantizedLayer]
) -> tuple[float, float]:
    """Depth and rotation error of all `layers` at once, the worst over `images`."""
    modules = candidates(network)
    with hooked([simulate(modules[layer.name], layer) for layer in layers]):
        errors = [compare(infer(network, image), right) for image, right in zip(images, expected, strict=True)]
    depth, rotation = np.max(errors, axis=0)
    return float(depth), float(rotation)
