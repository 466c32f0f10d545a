"""Pixels in: resize, crop and normalisation as the first operators of a network.

Computes what :mod:`exporters.preprocess` (and so upstream's `InputProcessor`) does on the host, in fp32 and with standard
operators: each resize is two matrix products (:mod:`exporters.resampling`), rounded and clipped to 8 bits as OpenCV does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from exporters.preprocess import Crop, Resize, exact_steps
from exporters.resampling import resampling
from exporters.signature import IMAGENET_MEAN, IMAGENET_STD


class PixelResize(nn.Module):
    """One resize of 8-bit pixels, held as fp32."""

    across: Tensor
    down: Tensor

    def __init__(self, step: Resize) -> None:
        super().__init__()
        width, height = step.source
        weights = resampling((height, width), (step.height, step.width), cubic=step.upscale)
        self.factor, self.half_up = weights.factor, weights.half_up
        self.register_buffer("across", torch.from_numpy(weights.across.T.copy()), persistent=False)
        self.register_buffer("down", torch.from_numpy(weights.down), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(V, 3, H', W') to (V, 3, H, W)."""
        x = self.down @ (x @ self.across)
        if self.factor != 1.0:
            x = x * self.factor
        return ((x + 0.5).floor() if self.half_up else x.round()).clamp(0.0, 255.0)


class PixelCrop(nn.Module):
    """One crop."""

    def __init__(self, step: Crop) -> None:
        super().__init__()
        self.rows = slice(step.top, step.top + step.height)
        self.columns = slice(step.left, step.left + step.width)

    def forward(self, x: Tensor) -> Tensor:
        return x[..., self.rows, self.columns]


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
        """As the network's own, but for `image`."""
        x = image.flatten(0, 1).permute(0, 3, 1, 2).float()
        for step in self.steps:
            x = step(x)
        x = ((x / self.white - self.mean) / self.std).unflatten(0, tuple(image.shape[:2]))
        if extrinsics is None:
            return self.network(x)
        return self.network(x, extrinsics, intrinsics)
