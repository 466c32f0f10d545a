"""A network some of whose layers are computed in fewer bits, tried on scenes against exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.quantization.layers import hooked
from depthport.exporters.quantization.mix import Budget, Loss
from depthport.exporters.quantization.parts import HalfParts
from depthport.exporters.quantization.sensitivity import QuantizedLayer, compare, infer, simulate

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray


class Trial:
    """What a mix of layers loses on scenes (B, N, 3, H, W).

    Args:
        network: static; fp32, or with 16-bit parts.
        exact: the fp32 network of the same shape.
        images: the scenes.
        layers: the 8-bit form of each layer that has one.
        halves: the 16-bit parts of the network, if it has any.
    """

    def __init__(
        self,
        network: nn.Module,
        exact: nn.Module,
        images: Sequence[Array],
        layers: Mapping[str, QuantizedLayer],
        halves: HalfParts | None = None,
    ) -> None:
        self._network, self._images, self._layers, self._halves = network, images, layers, halves
        self._expected = [infer(exact, image) for image in images]

    def __len__(self) -> int:
        return len(self._images)

    def set(self, mix: Collection[Loss]) -> list[QuantizedLayer]:
        """Give every 16-bit part of the network the dtype it has in `mix`; returns the 8-bit layers, which stay fp32."""
        quantized = [self._layers[loss.layer] for loss in mix if loss.dtype == "int8"]
        if self._halves is not None:
            self._halves.lower({loss.layer for loss in mix if loss.dtype != "int8"} - {layer.name for layer in quantized})
        return quantized

    def errors(self, mix: Collection[Loss], budget: Budget | None = None) -> tuple[float, float]:
        """Depth (relative L2) and rotation (degrees) error of `mix`, the worst over the scenes.

        With a `budget`, over the scenes up to the first that breaks it.
        """
        quantized = self.set(mix)
        depth = rotation = 0.0
        apart = self._halves is not None
        handles = [simulate(self._network.get_submodule(layer.name), layer, camera_apart=apart) for layer in quantized]
        with hooked(handles):
            for image, right in zip(self._images, self._expected, strict=True):
                found = compare(infer(self._network, image), right)
                depth, rotation = max(depth, found[0]), max(rotation, found[1])
                if budget is not None and not budget.holds(depth, rotation):
                    break
        return depth, rotation


def measure(trial: Trial, parts: Sequence[Loss], progress: Callable[[str], None]) -> list[Loss]:
    """The loss of each of `parts` alone, less what the network loses without any of them.

    Args:
        trial: on scenes of any size.
        parts: layer, arithmetic and dtype of each; what they say of errors is not read.
        progress: told how far it is.
    """
    base = trial.errors(())
    table = []
    for index, part in enumerate(parts):
        if index % 8 == 0:
            progress(f"measuring layer {index + 1} of {len(parts)}")
        found = trial.errors((part,))
        own = [max(0.0, whole**2 - rest**2) ** 0.5 for whole, rest in zip(found, base, strict=True)]
        table.append(replace(part, depth=own[0], rotation_deg=own[1]))
    return table
