"""Linear maps, convolutions, attention and resizing."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.core.errors import ArtifactError, UnsupportedError
from depthport.exporters.coreml.mil.ops.call import Call, operator
from depthport.exporters.coreml.mil.ops.sizes import upsampled_size


@operator("linear")
def linear(call: Call) -> Tensor:
    """X Wᵀ + b."""
    return F.linear(call.tensor("x"), call.tensor("weight"), call.optional("bias"))


@operator("matmul")
def matmul(call: Call) -> Tensor:
    """Matrix product, operands transposed if asked for."""
    x, y = call.tensor("x"), call.tensor("y")
    x = x.mT if call.flag("transpose_x", False) else x
    y = y.mT if call.flag("transpose_y", False) else y
    return x @ y


@operator("scaled_dot_product_attention")
def scaled_dot_product_attention(call: Call) -> Tensor:
    """softmax(q kᵀ / √E + mask) v, without materialising the scores."""
    mask = call.optional("attn_mask")
    return F.scaled_dot_product_attention(call.tensor("query"), call.tensor("key"), call.tensor("value"), mask)


@operator("conv")
def conv(call: Call) -> Tensor:
    """Convolution, with any of the specification's paddings."""
    x, weight = call.tensor("x"), call.tensor("weight")
    spatial = x.dim() - 2
    stride = call.ints("strides") or [1] * spatial
    dilation = call.ints("dilations") or [1] * spatial
    before, after = _padding(call, x, weight, stride, dilation)
    if before != after:
        x = F.pad(x, [p for axis in reversed(range(spatial)) for p in (before[axis], after[axis])])
        before = [0] * spatial
    function: Callable[..., Tensor] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    found: Tensor = function(x, weight, call.optional("bias"), stride, before, dilation, call.integer("groups", 1))
    return found


def _padding(call: Call, x: Tensor, weight: Tensor, stride: list[int], dilation: list[int]) -> tuple[list[int], list[int]]:
    kind = call.text("pad_type", "valid")
    spatial = x.dim() - 2
    if kind == "valid":
        return [0] * spatial, [0] * spatial
    if kind == "custom":
        pad = call.required_ints("pad")
        if len(pad) != 2 * spatial:
            raise ArtifactError(f"operation {call.name!r} (conv) has {len(pad)} paddings for {spatial} axes: damaged")
        return pad[::2], pad[1::2]
    total = [
        max(((-(-x.shape[i + 2] // stride[i])) - 1) * stride[i] + (weight.shape[i + 2] - 1) * dilation[i] + 1, 0)
        - x.shape[i + 2]
        for i in range(spatial)
    ]
    total = [max(t, 0) for t in total]
    small = [t // 2 for t in total]
    large = [t - s for t, s in zip(total, small, strict=True)]
    return (small, large) if kind == "same" else (large, small)


@operator("conv_transpose")
def conv_transpose(call: Call) -> Tensor:
    """Transposed convolution in 2-D."""
    x, weight = call.tensor("x"), call.tensor("weight")
    spatial = x.dim() - 2
    stride = call.ints("strides") or [1] * spatial
    dilation = call.ints("dilations") or [1] * spatial
    kind = call.text("pad_type", "valid")
    if kind not in ("valid", "custom") or spatial != 2:
        raise UnsupportedError(f"operation {call.name!r}: conv_transpose with padding {kind!r} is not supported")
    pad = call.required_ints("pad") if kind == "custom" else [0] * (2 * spatial)
    full = F.conv_transpose2d(x, weight, call.optional("bias"), stride, groups=call.integer("groups", 1), dilation=dilation)
    size = call.ints("output_shape")
    for axis in range(spatial):
        start, stop = pad[2 * axis], full.shape[axis + 2] - pad[2 * axis + 1]
        length = size[axis + 2] if size is not None else stop - start
        full = full.narrow(axis + 2, start, length)
    return full


@operator("upsample_bilinear")
def upsample_bilinear(call: Call) -> Tensor:
    """Output sizes are the input's times the scale factors, rounded down; samples follow from the sizes alone."""
    x = call.tensor("x")
    size = upsampled_size(call)
    aligned = call.flag("align_corners", True)
    if not aligned and not call.flag("half_pixel_centers", True):
        raise UnsupportedError(f"operation {call.name!r}: upsampling without half-pixel centres is not supported")
    return F.interpolate(x, size=size, mode="bilinear", align_corners=aligned)


@operator("resize_bilinear")
def resize_bilinear(call: Call) -> Tensor:
    """Bilinear resize to a target size."""
    modes = {"STRICT_ALIGN_CORNERS": True, "ALIGN_CORNERS": True, "UNALIGN_CORNERS": False}
    mode = call.text("sampling_mode", "DEFAULT")
    if mode not in modes:
        raise UnsupportedError(f"operation {call.name!r}: resizing by {mode!r} is not supported by the interpreter")
    size = [call.integer("target_size_height", 1), call.integer("target_size_width", 1)]
    return F.interpolate(call.tensor("x"), size=size, mode="bilinear", align_corners=modes[mode])
