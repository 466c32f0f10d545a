"""Operations on maps: convolutions, resizes, depth to space.

A resize is two matrix products, one an axis, which takes two fifths of the time of the provider's `Resize`. Each contracts
the outer of the two spatial axes, so the axes trade places in between and stay so: maps are (V, h, w, C) or *turned*,
(V, w, h, C), and convolutions of turned maps take turned kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from depthport.exporters.da3.kernels.upsampled import inside
from depthport.exporters.da3.static.folding import constant_response
from depthport.exporters.da3.static.uv import UvEmbedding

if TYPE_CHECKING:
    from depthport.exporters.onnx.cuda.emitter import Emitter, Value

Size = tuple[int, int]


@dataclass(frozen=True)
class Map:
    """A value of shape (V, h, w, C), or (V, w, h, C) if turned."""

    value: Value
    size: Size
    """(h, w)."""
    channels: int
    turned: bool = False

    @property
    def sides(self) -> Size:
        """The spatial axes as they lie."""
        return self.size[::-1] if self.turned else self.size


class MapEmitter:
    """Emits operations on maps of `views` views in one dtype."""

    def __init__(self, g: Emitter, views: int, dtype: torch.dtype) -> None:
        self.g, self.views, self.dtype = g, views, dtype
        self._matrices: dict[Size, Value] = {}

    def place(self, tokens: Value, size: Size, channels: int, turned: bool) -> Map:
        """The map of (V, P, C) patch tokens, row by row."""
        x = self.g.reshape(tokens, self.views, *size, channels)
        return Map(self.g.transpose(x, 0, 2, 1, 3) if turned else x, size, channels, turned)

    def convolve(self, name: str, x: Map, convolution: nn.Conv2d, bias: Tensor | None = None) -> Map:
        """The convolution, with `bias` in place of its own."""
        g = self.g
        bias = convolution.bias if bias is None else bias
        kernel, stride, padding = (
            cast("Size", sides) for sides in (convolution.kernel_size, convolution.stride, convolution.padding)
        )
        size = tuple(
            (length + 2 * pad - side) // step + 1
            for length, side, step, pad in zip(x.size, kernel, stride, padding, strict=True)
        )
        if x.turned:
            kernel, stride, padding = kernel[::-1], stride[::-1], padding[::-1]
        weight = convolution.weight.permute(0, 3, 2, 1) if x.turned else convolution.weight.permute(0, 2, 3, 1)
        offset = () if bias is None else (g.constant(f"{name}.bias", bias, self.dtype),)
        value = g.op(
            "NhwcConv", x.value, g.constant(f"{name}.weight", weight, self.dtype), *offset, contrib=True,
            kernel_shape=list(kernel), strides=list(stride), pads=[*padding, *padding],
        )  # fmt: skip
        return Map(value, cast("Size", size), convolution.out_channels, x.turned)

    def pointwise(self, name: str, x: Map, weight: Tensor) -> Map:
        """A matrix (O, C) applied to every sample."""
        value = self.g.op("MatMul", x.value, self.g.constant(f"{name}.weight", weight.T, self.dtype))
        return replace(x, value=value, channels=weight.shape[0])

    def add(self, name: str, x: Map, constant: Tensor) -> Map:
        """Add (C,) or (h, w, C). The constant is of full rank: a vector's sum would be fused into a slower product."""
        if constant.ndim == 3 and x.turned:
            constant = constant.transpose(0, 1)
        constant = constant.reshape((1,) * (4 - constant.ndim) + tuple(constant.shape))
        return replace(x, value=self.g.op("Add", x.value, self.g.constant(name, constant, self.dtype)))

    def sum(self, *maps: Map) -> Map:
        return replace(maps[0], value=self.g.op("Sum", *(x.value for x in maps)))

    def relu(self, x: Map) -> Map:
        return replace(x, value=self.g.op("Relu", x.value))

    def resize(self, x: Map, size: Size) -> Map:
        """Bilinear, corners aligned; turns the map."""
        g = self.g
        (outer, inner), (new_outer, new_inner) = x.sides, size[::-1] if x.turned else size
        value = self._contract(x.value, outer, new_outer, inner * x.channels)
        value = g.transpose(g.reshape(value, self.views, new_outer, inner, x.channels), 0, 2, 1, 3)
        value = self._contract(value, inner, new_inner, new_outer * x.channels)
        value = g.reshape(value, self.views, new_inner, new_outer, x.channels)
        return Map(value, size, x.channels, not x.turned)

    def _contract(self, x: Value, old: int, new: int, rest: int) -> Value:
        if old == new:
            return x
        matrix = self._matrices.get((old, new))
        if matrix is None:
            weights = interpolation_matrix(old, new, self.dtype).expand(self.views, -1, -1)
            matrix = self._matrices[old, new] = self.g.constant(f"interpolation.{old}.{new}", weights)
        return self.g.op("MatMul", matrix, self.g.reshape(x, self.views, old, rest))

    def spread(self, name: str, x: Map, transposed: nn.ConvTranspose2d) -> Map:
        """Transposed convolution whose stride is its kernel: each sample becomes a k×k tile."""
        g, k, outputs = self.g, transposed.kernel_size[0], transposed.out_channels
        assert transposed.bias is not None and transposed.stride == transposed.kernel_size == (k, k)
        order = (3, 2, 1, 0) if x.turned else (2, 3, 1, 0)
        product = self.pointwise(name, x, transposed.weight.permute(*order).flatten(0, 2))
        outer, inner = x.sides
        tiles = g.transpose(g.reshape(product.value, self.views, outer, inner, k, k, outputs), 0, 1, 3, 2, 4, 5)
        placed = g.reshape(tiles, self.views, outer * k, inner * k, outputs)
        size = (x.size[0] * k, x.size[1] * k)
        return self.add(f"{name}.bias", Map(placed, size, outputs, x.turned), transposed.bias)


def interpolation_matrix(old: int, new: int, dtype: torch.dtype) -> Tensor:
    """(new, old): linear interpolation with corners aligned, as torch computes it.

    In fp16 positions are rounded to 1/2048 of a sample, so that both weights are exact and constants stay constant.
    """
    scale = torch.tensor((old - 1) / (new - 1) if new > 1 else 0.0)
    position = torch.arange(new) * scale
    below = position.floor().clamp(max=max(old - 2, 0))
    above = position - below
    if dtype is torch.float16:
        above = (above * 2048).round() / 2048
    matrix = torch.zeros(new, old)
    rows, columns = torch.arange(new), below.long()
    matrix[rows, columns] = 1 - above
    matrix[rows, (columns + 1).clamp(max=old - 1)] += above
    return matrix.to(dtype)


def embedding_response(convolution: nn.Conv2d, uv: UvEmbedding) -> Tensor:
    """Return the response of a 3×3 convolution to the UV embedding and its own bias: (H, W, O) fp32."""
    assert convolution.bias is not None
    by_row, by_column = uv.by_row.float()[0, :, :, 0], uv.by_column.float()[0, :, 0]
    rows, columns = constant_response(convolution.weight.float(), by_row, by_column)
    response = torch.einsum("yh,ywo->hwo", inside(by_row.shape[1], rows), columns)
    response = response + torch.einsum("xw,xho->hwo", inside(by_column.shape[1], rows), rows)
    return response + convolution.bias.float()
