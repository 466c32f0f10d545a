"""Layers in 8 bits, simulated in fp32 on the torch network with the codes, scales and zeros that the graph will hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from depthport.exporters.quantization.layers import Observation, is_linear, norm_before, relu_after
from depthport.exporters.quantization.rounding import ActivationGrid, activation_grid, balance, round_gptq

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

Array = np.ndarray

BALANCE = 0.8
"""Share of outliers moved into the weights. On `outliers` weights 0 loses 2 to 4 times as much, 0.5 up to 3 times."""


@dataclass(frozen=True)
class QuantizedLayer:
    """Everything that a graph needs to hold one layer in 8 bits."""

    name: str
    codes: Array
    """int8; linear (K, N), convolution (O, C, h, w)."""
    scales: Array
    """fp32 by output channel."""
    factors: Array | None
    """(K,) what the inputs were divided and the weights multiplied by, folded into the LayerNorm before; None: nothing."""
    input: ActivationGrid | None
    """None: weights only."""
    output: ActivationGrid | None
    """Grid of a convolution's output if it is rounded too; else None."""
    gflop: float

    @property
    def linear(self) -> bool:
        return is_linear(self.name)


def quantize_layer(
    name: str, weight: Array, seen: Observation, *, signed: bool, weights_only: bool, rounded_outputs: bool = False
) -> QuantizedLayer:
    """Codes, scales and grids of one layer.

    Args:
        name: the layer's.
        weight: as torch has it: (N, K) or (O, C, h, w).
        seen: from calibration.
        signed: int8 activations with zero 0 (TensorRT) or uint8 (ONNX Runtime's fastest on x86).
        weights_only: activations stay float.
        rounded_outputs: what a convolution gives is rounded to 8 bits too.
    """
    grid = None if weights_only else activation_grid(seen.low, seen.high, signed)
    if not is_linear(name):
        flat, scales = round_gptq(np.ascontiguousarray(weight.reshape(len(weight), -1).T), seen.hessian)
        rounds = rounded_outputs and not weights_only
        out = activation_grid(seen.out_low, seen.out_high, signed) if rounds else None
        return QuantizedLayer(name, flat.T.reshape(weight.shape), scales, None, grid, out, seen.gflop)
    columns, hessian, factors = weight.T, seen.hessian, None
    if grid is not None and norm_before(name) is not None:
        factors = balance(seen.channel_max, columns, BALANCE)
        columns = columns * factors[:, None]
        hessian = hessian / np.outer(factors, factors)
        reach = float((seen.channel_max / factors).max())
        grid = activation_grid(-reach, reach, signed)
    codes, scales = round_gptq(np.ascontiguousarray(columns), hessian)
    return QuantizedLayer(name, codes, scales, factors, grid, None, seen.gflop)


def simulate(module: nn.Module, layer: QuantizedLayer, *, camera_apart: bool = False) -> RemovableHandle:
    """Make `module` compute as `layer` will; returns the hook's handle, which undoes it.

    The first token of a linear layer's input is the camera's, unless that has layers of its own (`camera_apart`).
    """
    import torch
    import torch.nn.functional as F

    codes = torch.from_numpy(layer.codes).float()
    scales = torch.from_numpy(layer.scales)
    factors = None if layer.factors is None else torch.from_numpy(layer.factors)

    def linear(owner: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0] if factors is None else inputs[0] / factors
        y = F.linear(on_grid(x, layer.input), (codes * scales).T, owner.bias)
        # The camera token's row stays what it was, unless activations are float anyway.
        return y if camera_apart or layer.input is None else torch.cat((output[:, :1], y[:, 1:]), dim=1)

    def convolution(owner: nn.Conv2d, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        weight = codes * scales.reshape(-1, 1, 1, 1)
        y = F.conv2d(on_grid(inputs[0], layer.input), weight, owner.bias, owner.stride, owner.padding)
        return on_grid(y.relu() if relu_after(layer.name) else y, layer.output)

    return module.register_forward_hook(linear if layer.linear else convolution)


def on_grid(x: Tensor, grid: ActivationGrid | None) -> Tensor:
    """`x` rounded to the grid and clipped to its ends; as it is where there is none."""
    if grid is None:
        return x
    lowest, highest = grid.limits
    return ((x / grid.scale).round() + grid.zero).clamp(lowest, highest).sub(grid.zero) * grid.scale


def infer(network: Any, image: Array) -> dict[str, Array]:
    """Outputs of a static network for `image` (B, N, 3, H, W), by name."""
    import torch

    with torch.inference_mode():
        outputs = network(torch.from_numpy(image))
    return {name: value.numpy() for name, value in zip(network.output_names, outputs, strict=True)}


def compare(found: Mapping[str, Array], expected: Mapping[str, Array]) -> tuple[float, float]:
    """Relative L2 of depth, and the largest angle (degrees) between rotations; 0 where there are no poses."""
    right = expected["depth"].astype(np.float64)
    depth = float(np.linalg.norm(found["depth"] - right) / np.linalg.norm(right))
    if "extrinsics" not in expected:
        return depth, 0.0
    turned = (found["extrinsics"] - expected["extrinsics"].astype(np.float64))[..., :3].reshape(-1, 9)
    chord = np.linalg.norm(turned, axis=-1) / (2 * np.sqrt(2))
    return depth, float(np.degrees(2 * np.arcsin(np.clip(chord, 0, 1))).max())
