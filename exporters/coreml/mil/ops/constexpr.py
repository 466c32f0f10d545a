"""Compressed constants, as the operations that a device expands when it loads the model.

Formulas: `constexpr_ops.py` of coremltools' iOS16 and iOS18 operations. All arithmetic is in fp32; the interpreter
rounds the result to the declared type, in every mode, because the device holds it in that type.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depthport.exporters.coreml.mil.ops.call import Call, operator


@operator("constexpr_affine_dequantize")
def affine_dequantize(call: Call) -> Tensor:
    """Scale · (data − zero point), per tensor or along `axis`."""
    data = call.tensor("quantized_data").float()
    axis = call.integer("axis", 0)
    shape = [-1 if i == axis % data.dim() else 1 for i in range(data.dim())]
    scale, zero = (call.tensor(p).float() for p in ("scale", "zero_point"))
    return (data - _spread(zero, shape)) * _spread(scale, shape)


@operator("constexpr_blockwise_shift_scale")
def blockwise_shift_scale(call: Call) -> Tensor:
    """Scale · (data − offset), one scale (and offset) a block of elements along each axis."""
    data = call.tensor("data").float()
    offset = call.optional("offset")
    if offset is not None:
        data = data - _blocks(offset.float(), data)
    return data * _blocks(call.tensor("scale").float(), data)


@operator("constexpr_lut_to_dense")
def lut_to_dense(call: Call) -> Tensor:
    """Look every element up in a table; from iOS18 on, one table a block of elements."""
    table, indices = call.tensor("lut").float(), call.tensor("indices")
    if "shape" in call:
        return table.reshape(-1)[_unpack(indices, call, table)]
    return _grouped(table, indices.long())


def _unpack(packed: Tensor, call: Call, table: Tensor) -> Tensor:
    """iOS16 keeps indices as bytes, packed to the bits that a table of that size needs, lowest bits first."""
    shape = call.required_ints("shape")
    bits = (table.numel() - 1).bit_length()
    count = int(torch.tensor(shape).prod())
    stream = (packed.long().unsqueeze(-1) >> torch.arange(8)) & 1
    stream = stream.reshape(-1)[: count * bits].reshape(count, bits)
    return (stream << torch.arange(bits)).sum(-1).reshape(shape)


def _grouped(table: Tensor, indices: Tensor) -> Tensor:
    """Table (G₁, …, Gₖ, entries, 1) for indices (D₁, …, Dₖ) with Dᵢ a multiple of Gᵢ."""
    entries = table.shape[-2]
    flat = table.reshape(-1, entries)
    group = torch.zeros_like(indices)
    for axis, (groups, size) in enumerate(zip(table.shape[:-2], indices.shape, strict=True)):
        position = torch.arange(size) // (size // groups)
        view = [-1 if i == axis else 1 for i in range(indices.dim())]
        group = group * groups + position.reshape(view)
    return flat[group, indices]


def _spread(x: Tensor, shape: list[int]) -> Tensor:
    return x if x.dim() == 0 else x.reshape(shape)


def _blocks(x: Tensor, data: Tensor) -> Tensor:
    """Repeat each element of `x` over its block of `data`."""
    for axis, (blocks, size) in enumerate(zip(x.shape, data.shape, strict=True)):
        if blocks not in (1, size):
            x = x.repeat_interleave(size // blocks, dim=axis)
    return x
