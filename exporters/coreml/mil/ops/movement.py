"""Operations that move elements without arithmetic."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.coreml.mil.ops.call import Call, operator


@operator("transpose")
def transpose(call: Call) -> Tensor:
    """Permute the axes."""
    return call.tensor("x").permute(call.required_ints("perm"))


@operator("reshape")
def reshape(call: Call) -> Tensor:
    """-1 infers a size; 0 copies the input's, axes counted from the last."""
    x, wanted = call.tensor("x"), call.required_ints("shape")
    shape = [x.shape[i - len(wanted)] if size == 0 else size for i, size in enumerate(wanted)]
    return x.reshape(shape)


@operator("expand_dims")
def expand_dims(call: Call) -> Tensor:
    """`axes` count in the result."""
    x, axes = call.tensor("x"), call.required_ints("axes")
    rank = x.dim() + len(axes)
    for axis in sorted(a % rank for a in axes):
        x = x.unsqueeze(axis)
    return x


@operator("squeeze")
def squeeze(call: Call) -> Tensor:
    """Remove axes of size 1, by default all of them."""
    x, axes = call.tensor("x"), call.ints("axes")
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operator("concat")
def concat(call: Call) -> Tensor:
    """Concatenate along an axis; interleaved if asked for."""
    values, axis = call.tensors("values"), call.integer("axis")
    if call.flag("interleave", False):
        return torch.stack(values, axis % values[0].dim() + 1).flatten(axis, axis + 1)
    return torch.cat(values, axis)


@operator("stack")
def stack(call: Call) -> Tensor:
    """Stack along a new axis."""
    return torch.stack(call.tensors("values"), call.integer("axis"))


@operator("split")
def split(call: Call) -> tuple[Tensor, ...]:
    """Split along an axis, by sizes or into equal parts."""
    x, axis = call.tensor("x"), call.integer("axis")
    sizes = call.ints("split_sizes") or [x.shape[axis] // call.integer("num_splits")] * call.integer("num_splits")
    return torch.split(x, sizes, axis)


@operator("tile")
def tile(call: Call) -> Tensor:
    """Repeat along every axis."""
    return call.tensor("x").repeat(call.required_ints("reps"))


@operator("slice_by_index")
def slice_by_index(call: Call) -> Tensor:
    """Slice by begin, end and stride, with masks for open ends and removed axes."""
    x = call.tensor("x")
    rank = x.dim()
    begin, end = call.required_ints("begin"), call.required_ints("end")
    stride = call.ints("stride") or [1] * rank
    no_begin, no_end = call.flags("begin_mask", rank), call.flags("end_mask", rank)
    squeezed = call.flags("squeeze_mask", rank)
    for axis in range(rank):
        if squeezed[axis]:
            x = x.narrow(axis, begin[axis] % x.shape[axis], 1)
            continue
        start, stop, step = slice(
            None if no_begin[axis] else begin[axis], None if no_end[axis] else end[axis], stride[axis]
        ).indices(x.shape[axis])
        x = x.index_select(axis, torch.arange(start, stop, step)) if step != 1 else x.narrow(axis, start, stop - start)
    return x.squeeze(tuple(a for a in range(rank) if squeezed[a]))


@operator("slice_by_size")
def slice_by_size(call: Call) -> Tensor:
    """Slice by begin and size; -1 takes the rest."""
    x = call.tensor("x")
    for axis, (start, size) in enumerate(zip(call.required_ints("begin"), call.required_ints("size"), strict=True)):
        x = x.narrow(axis, start, x.shape[axis] - start if size == -1 else size)
    return x


@operator("gather")
def gather(call: Call) -> Tensor:
    """Whole slices of `x` along `axis`; the shape of `indices` takes the axis' place."""
    x, indices, axis = call.tensor("x"), call.tensor("indices"), call.integer("axis", 0)
    if call.integer("batch_dims", 0):
        raise UnsupportedError(f"operation {call.name!r}: gather with batch_dims is not supported by the interpreter")
    axis %= x.dim()
    index = indices.reshape(-1)
    picked = x.index_select(axis, torch.where(index < 0, index + x.shape[axis], index))
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@operator("gather_along_axis")
def gather_along_axis(call: Call) -> Tensor:
    """Take elements along an axis by indices of the result's shape."""
    return call.tensor("x").gather(call.integer("axis", 0), call.tensor("indices"))


@operator("pad")
def pad(call: Call) -> Tensor:
    """`pad` holds (before, after) of the last axes, the first of them first."""
    x, amounts, mode = call.tensor("x"), call.required_ints("pad"), call.text("mode", "constant")
    if mode == "reflect" or mode == "replicate":
        raise UnsupportedError(f"operation {call.name!r}: {mode} padding is not supported by the interpreter")
    reversed_pairs = [a for i in range(len(amounts) - 2, -1, -2) for a in amounts[i : i + 2]]
    return F.pad(x, reversed_pairs, value=call.number("constant_val", 0.0))


@operator("pixel_shuffle")
def pixel_shuffle(call: Call) -> Tensor:
    """Rearrange channels into blocks of pixels."""
    return F.pixel_shuffle(call.tensor("x"), call.integer("upscale_factor"))
