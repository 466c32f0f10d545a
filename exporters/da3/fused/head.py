"""The depth branch of the head with fused operators: the same function as in :mod:`depthport.exporters.da3.static.head`.

Maps are (V, h, w, C), which is what cuDNN's tensor-core convolutions read. What differs, all exact in real arithmetic:

- A 1×1 convolution runs before the upsampling that precedes it, on a quarter of the samples: bilinear weights sum to
  one, so the two commute, bias included.
- The neck's 3×3 convolution and the output's run on the small map, tap by tap, and the taps are what is upsampled
  (:mod:`depthport.exporters.da3.kernels.upsampled`). With the 1×1 convolution before it folded in, the neck costs an
  eighth.
- Transposed convolutions without overlap are matrix products.
- Biases that meet only linear layers on their way are folded into the next one.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.da3.kernels import convolution_relu, merge_maps, upsampled_convolution, upsampled_depth
from depthport.exporters.da3.static import head as portable
from depthport.exporters.da3.static.folding import constant_response, fold_pointwise, tap_matrices
from depthport.exporters.da3.static.layers import parameter


class FusedStage(nn.Module):
    """Projection, UV embedding, resize, and a 3×3 convolution to a common width."""

    uv: Tensor
    """(h, w, C)."""

    def __init__(self, source: portable.Stage, dtype: torch.dtype) -> None:
        super().__init__()
        self.grid = source.grid
        assert source.project.bias is not None
        self.weight = parameter(source.project.weight.flatten(1), dtype)
        self.bias = parameter(source.project.bias, dtype)
        uv = (source.uv.by_column + source.uv.by_row)[0].permute(1, 2, 0)
        self.register_buffer("uv", uv.to(dtype).contiguous(), persistent=False)
        self.resize = _resize(source.resize, dtype)
        self.reduce = parameter(_nhwc(source.reduce.weight), dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        """(V, P, 2C) normalised patch tokens to a map (V, h, w, F)."""
        x = F.linear(tokens, self.weight, self.bias).unflatten(1, self.grid) + self.uv
        return _convolve(self.resize(x), self.reduce)


class Spread(nn.Module):
    """Transposed convolution whose stride is its size: each sample becomes a k×k tile of its own."""

    def __init__(self, source: nn.ConvTranspose2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.size = source.kernel_size[0]
        assert source.bias is not None and source.stride == source.kernel_size
        self.weight = parameter(source.weight.permute(2, 3, 1, 0).flatten(0, 2), dtype)
        self.bias = parameter(source.bias.repeat(self.size**2), dtype)

    def forward(self, x: Tensor) -> Tensor:
        tiles = F.linear(x, self.weight, self.bias).unflatten(-1, (self.size, self.size, -1))
        # Moved eight bytes at a time: PyTorch's copy of a transposed tensor goes element by element.
        words = tiles.view(torch.int64).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        out: Tensor = words.view(x.dtype)
        return out


class Shrink(nn.Module):
    """3×3 convolution of stride 2."""

    def __init__(self, source: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        assert source.bias is not None
        self.weight = parameter(_nhwc(source.weight), dtype)
        self.bias = parameter(source.bias, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return _convolve(x, self.weight, self.bias, stride=2)


def bias_of(conv: nn.Conv2d) -> Tensor:
    """Every convolution read here has one."""
    assert conv.bias is not None
    return conv.bias


class FusedUnit(nn.Module):
    """The two convolutions of a residual unit, without the bias of the second, which the caller folds elsewhere."""

    def __init__(self, source: portable.ResidualUnit, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight1 = parameter(_nhwc(source.conv1.weight), dtype)
        self.bias1 = parameter(bias_of(source.conv1), dtype)
        self.weight2 = parameter(_nhwc(source.conv2.weight), dtype)

    def forward(self, active: Tensor) -> Tensor:
        """The ReLU of the unit's input, to what is to be added to its input."""
        return _convolve(convolution_relu(active, self.weight1, self.bias1), self.weight2)


class FusedFusion(nn.Module):
    """Add a finer map to what came from the coarser ones, refine, and apply a matrix to each sample.

    The matrix is the fusion's 1×1 convolution, with what follows it folded in; upsampling is left to its reader.
    """

    def __init__(self, source: portable.Fusion, matrix: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.lateral = FusedUnit(source.lateral, dtype) if source.lateral is not None else None
        self.refine = FusedUnit(source.refine, dtype)
        weight, offset = fold_pointwise(matrix, source.project.weight, _bias_after_refine(source))
        self.weight = parameter(weight, dtype)
        self.bias = parameter(offset + bias, dtype)

    def forward(self, finer: Tensor, coarse: Tensor | None) -> Tensor:
        if self.lateral is not None and coarse is not None:
            total, active = merge_maps(self.lateral(finer.relu()), finer, coarse)
        else:
            total, active = finer, finer.relu()
        return F.linear(self.refine(active) + total, self.weight, self.bias)


class FusedDepth(nn.Module):
    """Patch tokens to depth and confidence at the image's resolution."""

    uv_rows: Tensor
    uv_columns: Tensor

    def __init__(self, source: portable.DualHead, dtype: torch.dtype) -> None:
        super().__init__()
        branch = source.depth
        self.views_per_pass = source.views_per_pass
        if branch is None or source.ray is not None or branch.output.norm is not None:
            raise UnsupportedError("the fused network computes depth and pose: leave out ray and ray_conf")
        stages = cast("list[portable.Stage]", list(source.stages))
        chain = cast("list[portable.Fusion]", list(branch.chain.fusions))
        self.stages = nn.ModuleList(FusedStage(stage, dtype) for stage in stages)
        identity = torch.eye(branch.neck.in_channels)
        neck = tap_matrices(branch.neck.weight)
        self.fusions = nn.ModuleList(
            # A level's coarser input is added to its lateral unit, whose second bias is folded into that input.
            FusedFusion(fusion, identity, _lateral_bias(chain[level - 1]), dtype)
            if level
            else FusedFusion(fusion, neck, torch.zeros(()), dtype)
            for level, fusion in enumerate(chain)
        )
        self.neck_size, self.size = chain[0].size, branch.size
        self.neck_bias = parameter(bias_of(branch.neck))
        output = branch.output
        self.taps = parameter(tap_matrices(output.conv.weight), dtype)
        self.output_bias = parameter(bias_of(output.conv))
        rows, columns = constant_response(output.conv.weight, output.uv.by_row[0, :, :, 0], output.uv.by_column[0, :, 0])
        self.register_buffer("uv_rows", rows, persistent=False)
        self.register_buffer("uv_columns", columns, persistent=False)
        self.logits = parameter(output.logits.weight.flatten(1))
        self.logits_bias = parameter(bias_of(output.logits))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Four (V, P, 2C) to depth and confidence, each (V, H, W) fp32.

        Views are independent here and their maps are the largest tensors of the network, so they go in groups, as in
        :class:`depthport.exporters.da3.static.head.DualHead`.
        """
        if features[0].shape[0] <= self.views_per_pass:
            return self._some(features)
        groups = zip(*(tokens.split(self.views_per_pass) for tokens in features), strict=True)
        found = [self._some(list(group)) for group in groups]
        return torch.cat([depth for depth, _ in found]), torch.cat([confidence for _, confidence in found])

    def _some(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        maps = [stage(tokens) for stage, tokens in zip(self.stages, features, strict=True)]
        x: Tensor | None = None
        for level in (3, 2, 1, 0):
            x = self.fusions[level](maps[level], x)
        assert x is not None
        x = upsampled_convolution(x, self.neck_bias, *self.neck_size)
        out: tuple[Tensor, Tensor] = upsampled_depth(
            F.linear(x, self.taps), self.output_bias, self.uv_rows, self.uv_columns, self.logits, self.logits_bias
        )
        return out


def _bias_after_refine(fusion: portable.Fusion) -> Tensor:
    """The bias of the 1×1 convolution plus what it makes of the bias of the unit before it."""
    unit, project = fusion.refine.conv2.bias, fusion.project
    assert unit is not None and project.bias is not None
    out: Tensor = project.bias + project.weight.flatten(1) @ unit
    return out


def _lateral_bias(fusion: portable.Fusion) -> Tensor:
    assert fusion.lateral is not None and fusion.lateral.conv2.bias is not None
    out: Tensor = fusion.lateral.conv2.bias
    return out


def _resize(source: nn.Module, dtype: torch.dtype) -> nn.Module:
    if isinstance(source, nn.ConvTranspose2d):
        return Spread(source, dtype)
    return Shrink(source, dtype) if isinstance(source, nn.Conv2d) else nn.Identity()


def _nhwc(weight: Tensor) -> Tensor:
    """A kernel (O, C, 3, 3) as (O, 3, 3, C)."""
    return weight.permute(0, 2, 3, 1).contiguous()


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """3×3 convolution with padding 1 of a map (V, H, W, C) with a kernel (O, 3, 3, C)."""
    planes = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), bias, stride=stride, padding=1)
    return planes.permute(0, 2, 3, 1)
