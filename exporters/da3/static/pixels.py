"""Pixels in: resize, crop and normalisation as the first operators of a network.

Computes what :mod:`depthport.exporters.inputs.preprocess` (and so upstream's `InputProcessor`) does on the host, in fp32
and with standard
operators: each resize is two weighted sums (:mod:`depthport.exporters.inputs.resampling`), rounded and clipped to 8 bits
as OpenCV does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD, Crop, Resize, exact_steps
from depthport.exporters.inputs.resampling import Taps, resampling


class PixelResize(nn.Module):
    """One resize of 8-bit pixels, held as fp32."""

    def __init__(self, step: Resize) -> None:
        super().__init__()
        width, height = step.source
        plan = resampling((height, width), (step.height, step.width), cubic=step.upscale)
        self.factor, self.half_up = plan.factor, plan.half_up
        self.across = WeightedSum(plan.across, axis=3, in_pairs=plan.in_pairs)
        self.down = WeightedSum(plan.down, axis=2, in_pairs=plan.in_pairs)

    def forward(self, x: Tensor) -> Tensor:
        """(V, 3, H', W') to (V, 3, H, W)."""
        x = self.down(self.across(x))
        if self.factor != 1.0:
            x = x * self.factor
        return ((x + 0.5).floor() if self.half_up else x.round()).clamp(0.0, 255.0)


class WeightedSum(nn.Module):
    """:class:`~depthport.exporters.inputs.resampling.Taps` along one axis, added in the order that OpenCV adds them in.

    A product of matrices would be the same but for that order, and slower: of hundreds of columns a row uses few.
    """

    def __init__(self, taps: Taps, axis: int, in_pairs: bool) -> None:
        super().__init__()
        self.axis, self.in_pairs, self.count = axis, in_pairs, taps.source.shape[1]
        shape = [1, 1, 1, 1]
        shape[axis] = len(taps.source)
        for k in range(self.count):
            self.register_buffer(f"source{k}", torch.from_numpy(taps.source[:, k].copy()), persistent=False)
            weight = torch.from_numpy(taps.weight[:, k].copy()).reshape(shape)
            self.register_buffer(f"weight{k}", weight, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            x.index_select(self.axis, self.get_buffer(f"source{k}")) * self.get_buffer(f"weight{k}")
            for k in range(self.count)
        ]
        if self.in_pairs and self.count == 4:
            return (parts[0] + parts[1]) + (parts[2] + parts[3])
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


class PixelCrop(nn.Module):
    """One crop."""

    def __init__(self, step: Crop) -> None:
        super().__init__()
        self.rows = step.top, step.top + step.height
        self.columns = step.left, step.left + step.width

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = self.rows, self.columns
        return x[..., top:bottom, left:right]


class FromPixels(nn.Module):
    """A network that takes `image` as (B, N, H', W', 3) uint8 RGB."""

    mean: Tensor
    std: Tensor
    white: Tensor

    def __init__(self, network: Any, source_size: tuple[int, int] | None, size: tuple[int, int]) -> None:
        """`source_size` is (H', W') of what comes in, None where it has the network's own size (H, W)."""
        super().__init__()
        self.network = network
        self.output_names = network.output_names
        steps = () if source_size is None else exact_steps((source_size[1], source_size[0]), *size)
        self.steps = nn.ModuleList(PixelResize(s) if isinstance(s, Resize) else PixelCrop(s) for s in steps)
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.register_buffer("white", torch.tensor(255.0), persistent=False)

    def forward(
        self, image: Tensor, extrinsics: Tensor | None = None, intrinsics: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Same as the network's own, except for `image`."""
        x = image.flatten(0, 1).permute(0, 3, 1, 2).float()
        for step in self.steps:
            x = step(x)
        x = ((x / self.white - self.mean) / self.std).unflatten(0, tuple(image.shape[:2]))
        poses = () if extrinsics is None else (extrinsics, intrinsics)
        out: tuple[Tensor, ...] = self.network(x, *poses)
        return out
