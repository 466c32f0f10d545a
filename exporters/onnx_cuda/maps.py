"""Operations on maps (V, h, w, C): convolutions, resizes, depth to space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from exporters.da3.folding import constant_response
from exporters.da3.kernels.upsampled import inside

if TYPE_CHECKING:
    from torch import Tensor, nn

    from exporters.da3.uv import UvEmbedding
    from exporters.onnx_cuda.emitter import Emitter, Value

Size = tuple[int, int]


class MapEmitter:
    """Emits operations on maps of `views` views in one dtype."""

    def __init__(self, g: Emitter, views: int, dtype: torch.dtype) -> None:
        self.g, self.views, self.dtype = g, views, dtype

    def convolve(self, name: str, x: Value, convolution: nn.Conv2d, bias: Tensor | None = None) -> Value:
        """The convolution, with `bias` in place of its own."""
        g = self.g
        bias = convolution.bias if bias is None else bias
        weight = g.constant(f"{name}.weight", convolution.weight.permute(0, 2, 3, 1), self.dtype)
        offset = () if bias is None else (g.constant(f"{name}.bias", bias, self.dtype),)
        rows, columns = convolution.padding
        return g.op(
            "NhwcConv", x, weight, *offset, contrib=True, kernel_shape=list(convolution.kernel_size),
            strides=list(convolution.stride), pads=[rows, columns, rows, columns],
        )  # fmt: skip

    def pointwise(self, name: str, x: Value, weight: Tensor) -> Value:
        """A matrix (O, C) applied to every sample."""
        return self.g.op("MatMul", x, self.g.constant(f"{name}.weight", weight.T, self.dtype))

    def add(self, name: str, x: Value, constant: Tensor) -> Value:
        return self.g.op("Add", x, self.g.constant(name, constant, self.dtype))

    def relu(self, x: Value) -> Value:
        return self.g.op("Relu", x)

    def resize(self, x: Value, channels: int, old: Size, new: Size) -> Value:
        """Bilinear, corners aligned, one axis at a time: rows as vectors of w·C samples, then columns."""
        g = self.g
        (h, w), (height, width) = old, new
        if h != height:
            rows = g.reshape(x, self.views, 1, h, w * channels)
            x = self._linear(rows, (self.views, 1, height, w * channels))
        if w != width:
            columns = g.reshape(x, self.views * height, 1, w, channels)
            x = self._linear(columns, (self.views * height, 1, width, channels))
        return g.reshape(x, self.views, height, width, channels)

    def _linear(self, x: Value, shape: tuple[int, ...]) -> Value:
        sizes = self.g.integers(*shape)
        return self.g.op(
            "Resize", x, None, None, sizes, mode="linear", coordinate_transformation_mode="align_corners",
        )  # fmt: skip

    def spread(self, name: str, x: Value, transposed: nn.ConvTranspose2d, size: Size) -> Value:
        """Transposed convolution whose stride is its kernel: each sample becomes a k×k tile."""
        g, k = self.g, transposed.kernel_size[0]
        assert transposed.bias is not None and transposed.stride == transposed.kernel_size == (k, k)
        outputs = transposed.out_channels
        matrix = transposed.weight.permute(2, 3, 1, 0).flatten(0, 2)
        tiles = g.reshape(self.pointwise(name, x, matrix), self.views, *size, k, k, outputs)
        placed = g.transpose(tiles, 0, 1, 3, 2, 4, 5)
        placed = g.reshape(placed, self.views, size[0] * k, size[1] * k, outputs)
        return self.add(f"{name}.bias", placed, transposed.bias)


def embedding_response(convolution: nn.Conv2d, uv: UvEmbedding) -> Tensor:
    """What a 3×3 convolution makes of the UV embedding and of its own bias: (1, H, W, O) fp32."""
    assert convolution.bias is not None
    by_row, by_column = uv.by_row.float()[0, :, :, 0], uv.by_column.float()[0, :, 0]
    rows, columns = constant_response(convolution.weight.float(), by_row, by_column)
    response = torch.einsum("yh,ywo->hwo", inside(by_row.shape[1], rows), columns)
    response = response + torch.einsum("xw,xho->hwo", inside(by_column.shape[1], rows), rows)
    return (response + convolution.bias.float())[None]
