"""The dense head (DPT) that turns four feature maps into depth and confidence, or into rays.

Source: upstream's `model/dualdpt.py`, in the same order of operations. Only the branch that is asked for is
computed: upstream always computes the ray branch, 60 % of the head's work, on four levels of which it returns
one, and then deletes that. UV embeddings are separable constants (:mod:`depthport.exporters.da3.static.uv`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.layers import Norm, adopt, apply, cast
from depthport.exporters.da3.static.uv import UvEmbedding

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import ConvolutionsParts, FusionParts, HeadParts, ResidualParts, ScratchParts


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners aligned, as every resize of the head."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class Stage(nn.Module):
    """One of four feature maps: LayerNorm, projection, UV embedding, resize, 3×3 convolution to a common width."""

    def __init__(self, head: HeadParts, index: int, shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.grid = shape.grid
        self.norm = Norm(head.norm, dtype)
        self.project = adopt(head.projects[index], dtype)
        self.uv = UvEmbedding(self.project.out_channels, shape.grid, shape.width / shape.height, dtype)
        self.resize = adopt(head.resize_layers[index], dtype)
        self.reduce = adopt(getattr(head.scratch, f"layer{index + 1}_rn"), dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        """(V, P, C) patch tokens to a map (V, F, h, w)."""
        x = self.norm(tokens).transpose(1, 2).unflatten(2, self.grid)
        return apply(self.reduce, self.resize(self.uv(self.project(x))))


class ResidualUnit(nn.Module):
    """Two 3×3 convolutions with ReLU before each, and a skip."""

    def __init__(self, source: ResidualParts, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv1 = adopt(source.conv1, dtype)
        self.conv2 = adopt(source.conv2, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return apply(self.conv2, apply(self.conv1, x.relu()).relu()) + x


class Fusion(nn.Module):
    """Add a finer map to what came from the coarser ones, refine, project, upsample."""

    def __init__(self, source: FusionParts, size: tuple[int, int], dtype: torch.dtype) -> None:
        super().__init__()
        self.size = size
        self.lateral = ResidualUnit(source.resConfUnit1, dtype) if source.has_residual else None
        self.refine = ResidualUnit(source.resConfUnit2, dtype)
        self.project = adopt(source.out_conv, dtype)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        if self.lateral is not None and finer is not None:
            x = x + self.lateral(finer)
        return apply(self.project, resize(self.refine(x), self.size))


class FusionChain(nn.Module):
    """Fusion from the coarsest map to the finest, at 8 samples a patch side."""

    def __init__(self, scratch: ScratchParts, suffix: str, shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__()
        finest_first = zip((1, 2, 3, 4), (shape.fused, *shape.pyramid[:3]), strict=True)
        self.fusions = nn.ModuleList(
            Fusion(getattr(scratch, f"refinenet{level}{suffix}"), size, dtype) for level, size in finest_first
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.fusions[3](maps[3])
        for level in (2, 1, 0):
            x = self.fusions[level](x, maps[level])
        out: Tensor = x
        return out


class Output(nn.Module):
    """UV embedding, 3×3 convolution, optional LayerNorm, ReLU and 1×1 convolution to logits.

    The 1×1 convolution and everything after it are fp32 in every policy: the logits go through an exponential.
    """

    def __init__(self, convs: ConvolutionsParts, size: tuple[int, int], shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv = adopt(convs[0], dtype)
        norms = [layer for layer in convs if isinstance(layer, nn.LayerNorm)]
        self.norm = Norm(norms[0], dtype) if norms else None
        self.logits = adopt(convs[-1])
        self.uv = UvEmbedding(self.conv.in_channels, size, shape.width / shape.height, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(V, F, h, w) without the embedding to logits (V, O, h, w)."""
        x = apply(self.conv, self.uv(x))
        if self.norm is not None:
            x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        out: Tensor = self.logits(cast(x.relu(), torch.float32))
        return out


class DepthBranch(nn.Module):
    """Fused maps to depth and confidence at the image's resolution."""

    def __init__(self, head: HeadParts, shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.size = shape.size
        self.chain = FusionChain(head.scratch, "", shape, dtype)
        self.neck = adopt(head.scratch.output_conv1, dtype)
        self.output = Output(head.scratch.output_conv2, shape.size, shape, dtype)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(V, H, W) depth and (V, H, W) confidence."""
        logits = self.output(resize(apply(self.neck, self.chain(maps)), self.size))
        return logits[:, 0].exp(), logits[:, 1].exp() + 1


class RayBranch(nn.Module):
    """Fused maps to rays and their confidence at 8 samples a patch side."""

    def __init__(self, head: HeadParts, shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.chain = FusionChain(head.scratch, "_aux", shape, dtype)
        self.neck = adopt(head.scratch.output_conv1_aux[-1], dtype)
        self.output = Output(head.scratch.output_conv2_aux[-1], shape.fused, shape, dtype)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(V, h, w, 6) rays and (V, h, w) confidence."""
        logits = self.output(self.neck(self.chain(maps))).permute(0, 2, 3, 1)
        return logits[..., :6], logits[..., 6].exp() + 1


class DualHead(nn.Module):
    """Upstream's `DualDPT`, with either branch or both.

    As upstream does, no more than eight views go through at a time: the maps at full resolution would take
    4 GB for 32 views of 504×504 in da3-large.
    """

    views_per_pass = 8

    def __init__(self, head: HeadParts, shape: NetworkShape, dtype: torch.dtype, *, depth: bool, ray: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(head, index, shape, dtype) for index in range(4))
        self.depth = DepthBranch(head, shape, dtype) if depth else None
        self.ray = RayBranch(head, shape, dtype) if ray else None

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        """Four features (V, P, C) to any of `depth`, `depth_conf`, `ray`, `ray_conf`, each (V, ...) fp32."""
        if features[0].shape[0] <= self.views_per_pass:
            return self._pass(features)
        parts = zip(*(feature.split(self.views_per_pass) for feature in features), strict=True)
        found = [self._pass(list(part)) for part in parts]
        return {name: torch.cat([maps[name] for maps in found]) for name in found[0]}

    def _pass(self, features: list[Tensor]) -> dict[str, Tensor]:
        maps = [stage(tokens) for stage, tokens in zip(self.stages, features, strict=True)]
        found: dict[str, Tensor] = {}
        if self.depth is not None:
            found["depth"], found["depth_conf"] = self.depth(maps)
        if self.ray is not None:
            found["ray"], found["ray_conf"] = self.ray(maps)
        return found
