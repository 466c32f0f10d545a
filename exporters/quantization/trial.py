"""A network some of whose layers are computed in fewer bits, tried on scenes against exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from depthport.exporters.quantization.layers import block_of, blocks_of, hooked
from depthport.exporters.quantization.mix import Budget, Loss
from depthport.exporters.quantization.parts import HalfParts
from depthport.exporters.quantization.sensitivity import QuantizedLayer, compare, infer, simulate

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray
_State = Any
"""What a block gives: a tensor of tokens, or where the camera's are apart two."""


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
        self._blocks = blocks_of(network)

    def __len__(self) -> int:
        return len(self._images)

    def set(self, mix: Collection[Loss]) -> list[QuantizedLayer]:
        """Give every 16-bit part of the network the dtype it has in `mix`; returns the 8-bit layers, which stay fp32."""
        quantized = [self._layers[loss.layer] for loss in mix if loss.dtype == "int8"]
        if self._halves is not None:
            self._halves.lower({loss.layer for loss in mix if loss.dtype != "int8"} - {layer.name for layer in quantized})
        return quantized

    def errors(
        self, mix: Collection[Loss], budget: Budget | None = None, plain: Sequence[Sequence[_State]] = ()
    ) -> tuple[float, float]:
        """Depth (relative L2) and rotation (degrees) error of `mix`, the worst over the scenes.

        With a `budget`, over the scenes up to the first that breaks it. With the `plain` states of :meth:`states`, the
        blocks before the first that the mix changes are not computed again.
        """
        quantized = self.set(mix)
        depth = rotation = 0.0
        apart = self._halves is not None
        handles = [simulate(self._network.get_submodule(layer.name), layer, camera_apart=apart) for layer in quantized]
        first = min((block_of(loss.layer, len(self._blocks)) for loss in mix), default=0)
        known: list[Sequence[_State]] = [states[:first] for states in plain] or [()] * len(self)
        with hooked(handles):
            for image, right, states in zip(self._images, self._expected, known, strict=True):
                with replaced(self._blocks, [partial(_given, state) for state in states]):
                    found = compare(infer(self._network, image), right)
                depth, rotation = max(depth, found[0]), max(rotation, found[1])
                if budget is not None and not budget.holds(depth, rotation):
                    break
        return depth, rotation

    def states(self) -> list[list[_State]]:
        """What every block of the backbone makes of each scene when no layer is in fewer bits."""
        self.set(())
        found: list[list[_State]] = []

        def kept(compute: Callable[..., _State], *args: object) -> _State:
            found[-1].append(compute(*args))
            return found[-1][-1]

        with replaced(self._blocks, [partial(kept, getattr(block, _step(block))) for block in self._blocks]):
            for image in self._images:
                found.append([])
                infer(self._network, image)
        return found


def measure(trial: Trial, parts: Sequence[Loss], progress: Callable[[str], None]) -> list[Loss]:
    """The loss of each of `parts` alone, less what the network loses without any of them.

    Args:
        trial: on scenes of any size.
        parts: layer, arithmetic and dtype of each; what they say of errors is not read.
        progress: told how far it is.
    """
    base, plain = trial.errors(()), trial.states()
    table = []
    for index, part in enumerate(parts):
        if index % 8 == 0:
            progress(f"measuring layer {index + 1} of {len(parts)}")
        found = trial.errors((part,), plain=plain)
        own = [max(0.0, whole**2 - rest**2) ** 0.5 for whole, rest in zip(found, base, strict=True)]
        table.append(replace(part, depth=own[0], rotation_deg=own[1]))
    return table


@contextmanager
def replaced(blocks: Sequence[nn.Module], steps: Sequence[Callable[..., _State]]) -> Iterator[None]:
    """Have the first of `blocks` call the `steps` instead of what they compute."""
    told = list(zip(blocks, steps, strict=False))
    try:
        for block, step in told:
            setattr(block, _step(block), step)
        yield
    finally:
        for block, _ in told:
            delattr(block, _step(block))


def _step(block: nn.Module) -> str:
    """Name of the method by which a backbone calls its block."""
    return "split" if hasattr(block, "split") else "forward"


def _given(state: _State, *_: object) -> _State:
    return state
