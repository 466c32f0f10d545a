"""The dense head for any number of views and any size; see :mod:`depthport.exporters.da3.static.head` for what it computes.

All views go through at once: the static network's passes of eight views bound memory, not the result, and a graph of
open size can't be unrolled into them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from depthport.exporters.da3.dynamic.sizes import number
from depthport.exporters.da3.static.head import ResidualUnit, resize
from depthport.exporters.da3.static.layers import Norm, adopt, cast
from depthport.exporters.da3.static.uv import RATIO, frequencies

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import ConvolutionsParts, FusionParts, HeadParts, ScratchParts


class Grid(NamedTuple):
    """The patch grid of one call."""

    rows: int
    columns: int
    span_y: Tensor
    """(1,) fp32: half the extent of the UV grid by row; with `span_x` it is the half diagonal 1 of the image's shape."""
    span_x: Tensor

    @classmethod
    def of(cls, image: Tensor, patch: int) -> Grid:
        rows, columns = image.shape[-2] // patch, image.shape[-1] // patch
        y, x = (number(side, image).float() for side in (rows, columns))
        diagonal = (x * x + y * y).sqrt()
        return cls(rows, columns, y / diagonal, x / diagonal)

    def times(self, factor: int) -> tuple[int, int]:
        return self.rows * factor, self.columns * factor


class DynamicUv(nn.Module):
    """Adds the UV embedding to a map (V, C, h, w), by row and by column."""

    frequencies: Tensor

    def __init__(self, channels: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("frequencies", frequencies(channels // 2)[:, None], persistent=False)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        across = self._embed(x.shape[-1], grid.span_x)
        down = self._embed(x.shape[-2], grid.span_y)
        by_column = torch.cat((across, torch.zeros_like(across)))[:, None, :]
        by_row = torch.cat((torch.zeros_like(down), down))[:, :, None]
        return x + cast(by_column, self.dtype) + cast(by_row, self.dtype)

    def _embed(self, steps: int, span: Tensor) -> Tensor:
        """(C/2, steps): sines, then cosines, of the centres of equal cells that cover [-span, span]."""
        index = torch.arange(steps, device=span.device).float()
        count = number(steps, span).float()
        position = (index * 2.0 + 1.0 - count) / count * span
        angle = self.frequencies * position
        return torch.cat((angle.sin(), angle.cos())) * RATIO


class DynamicStage(nn.Module):
    """Same as :class:`depthport.exporters.da3.static.head.Stage`."""

    def __init__(self, head: HeadParts, index: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm = Norm(head.norm, dtype)
        self.project = adopt(head.projects[index], dtype)
        self.uv = DynamicUv(self.project.out_channels, dtype)
        self.resize = adopt(head.resize_layers[index], dtype)
        self.reduce = adopt(getattr(head.scratch, f"layer{index + 1}_rn"), dtype)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        x = self.norm(tokens).transpose(1, 2).unflatten(2, grid.times(1))
        out: Tensor = self.reduce(self.resize(self.uv(self.project(x), grid)))
        return out


class DynamicFusion(nn.Module):
    """Same as :class:`depthport.exporters.da3.static.head.Fusion`."""

    def __init__(self, source: FusionParts, dtype: torch.dtype) -> None:
        super().__init__()
        self.lateral = ResidualUnit(source.resConfUnit1, dtype) if source.has_residual else None
        self.refine = ResidualUnit(source.resConfUnit2, dtype)
        self.project = adopt(source.out_conv, dtype)

    def forward(self, x: Tensor, size: tuple[int, int], finer: Tensor | None = None) -> Tensor:
        if self.lateral is not None and finer is not None:
            x = x + self.lateral(finer)
        out: Tensor = self.project(resize(self.refine(x), size))
        return out


class DynamicChain(nn.Module):
    """Same as :class:`depthport.exporters.da3.static.head.FusionChain`."""

    def __init__(self, scratch: ScratchParts, suffix: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(
            DynamicFusion(getattr(scratch, f"refinenet{level}{suffix}"), dtype) for level in (1, 2, 3, 4)
        )

    def forward(self, maps: list[Tensor], grid: Grid) -> Tensor:
        x = self.fusions[3](maps[3], grid.times(1))
        for level, factor in ((2, 2), (1, 4), (0, 8)):
            x = self.fusions[level](x, grid.times(factor), maps[level])
        out: Tensor = x
        return out


class DynamicOutput(nn.Module):
    """Same as :class:`depthport.exporters.da3.static.head.Output`."""

    def __init__(self, convs: ConvolutionsParts, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv = adopt(convs[0], dtype)
        norms = [layer for layer in convs if isinstance(layer, nn.LayerNorm)]
        self.norm = Norm(norms[0], dtype) if norms else None
        self.logits = adopt(convs[-1])
        self.uv = DynamicUv(self.conv.in_channels, dtype)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = self.conv(self.uv(x, grid))
        if self.norm is not None:
            x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        out: Tensor = self.logits(cast(x.relu(), torch.float32))
        return out


class DynamicHead(nn.Module):
    """Same as :class:`depthport.exporters.da3.static.head.DualHead`."""

    def __init__(self, head: HeadParts, dtype: torch.dtype, patch: int, *, depth: bool, ray: bool) -> None:
        super().__init__()
        self.patch = patch
        scratch = head.scratch
        self.stages = nn.ModuleList(DynamicStage(head, index, dtype) for index in range(4))
        self.depth_chain = DynamicChain(scratch, "", dtype) if depth else None
        self.ray_chain = DynamicChain(scratch, "_aux", dtype) if ray else None
        if depth:
            self.depth_neck = adopt(scratch.output_conv1, dtype)
            self.depth_output = DynamicOutput(scratch.output_conv2, dtype)
        if ray:
            self.ray_neck = adopt(scratch.output_conv1_aux[-1], dtype)
            self.ray_output = DynamicOutput(scratch.output_conv2_aux[-1], dtype)

    def forward(self, features: list[Tensor], grid: Grid) -> dict[str, Tensor]:
        maps = [stage(tokens, grid) for stage, tokens in zip(self.stages, features, strict=True)]
        found: dict[str, Tensor] = {}
        if self.depth_chain is not None:
            x = resize(self.depth_neck(self.depth_chain(maps, grid)), grid.times(self.patch))
            logits = self.depth_output(x, grid)
            found["depth"], found["depth_conf"] = logits[:, 0].exp(), logits[:, 1].exp() + 1
        if self.ray_chain is not None:
            logits = self.ray_output(self.ray_neck(self.ray_chain(maps, grid)), grid).permute(0, 2, 3, 1)
            found["ray"], found["ray_conf"] = logits[..., :6], logits[..., 6].exp() + 1
        return found
