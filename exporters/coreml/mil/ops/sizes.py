"""Shapes of the operations whose result can be far larger than their operands, known before they are computed.

A damaged or hostile file may ask for a result of any size. The interpreter compares these shapes with the declared ones
first, so that the declared size, which it bounds, is all it can be made to allocate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from depthport.exporters.coreml.mil.ops.call import Call

Shape = tuple[int, ...]


def result_shape(call: Call) -> Shape | None:
    """Shape of the result; None for operations that give no more elements than they take.

    Raises:
        RuntimeError, IndexError, ValueError: operands that do not fit each other.
    """
    rule = _RULES.get(call.type)
    return None if rule is None else rule(call)


def _broadcast(*parameters: str) -> Callable[[Call], Shape]:
    def rule(call: Call) -> Shape:
        return tuple(torch.broadcast_shapes(*(call.tensor(p).shape for p in parameters)))

    return rule


def _linear(call: Call) -> Shape:
    return (*call.tensor("x").shape[:-1], call.tensor("weight").shape[0])


def _matmul(call: Call) -> Shape:
    x, y = call.tensor("x"), call.tensor("y")
    rows = x.shape[-1 if call.flag("transpose_x", False) else -2]
    columns = y.shape[-2 if call.flag("transpose_y", False) else -1]
    return (*torch.broadcast_shapes(x.shape[:-2], y.shape[:-2]), rows, columns)


def _tile(call: Call) -> Shape:
    return tuple(size * count for size, count in zip(call.tensor("x").shape, call.required_ints("reps"), strict=True))


def _pad(call: Call) -> Shape:
    shape, amounts = list(call.tensor("x").shape), call.required_ints("pad")
    for index in range(len(amounts) // 2):
        shape[len(shape) - len(amounts) // 2 + index] += amounts[2 * index] + amounts[2 * index + 1]
    return tuple(shape)


def _gather(call: Call) -> Shape:
    x, indices = call.tensor("x"), call.tensor("indices")
    axis = call.integer("axis", 0) % x.dim()
    return (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def upsampled_size(call: Call) -> tuple[int, int]:
    """Height and width of an upsampling: products in fp32, rounded down, as a device computes them."""
    height, width = (
        int(np.float32(size) * np.float32(call.number(f"scale_factor_{name}", 1.0)))
        for size, name in zip(call.tensor("x").shape[-2:], ("height", "width"), strict=True)
    )
    return height, width


def _upsample(call: Call) -> Shape:
    return (*call.tensor("x").shape[:-2], *upsampled_size(call))


def _resize(call: Call) -> Shape:
    size = call.integer("target_size_height", 1), call.integer("target_size_width", 1)
    return (*call.tensor("x").shape[:-2], *size)


def _table(call: Call) -> Shape:
    return tuple(call.required_ints("shape") if "shape" in call else call.tensor("indices").shape)


_ARITHMETIC = (
    "add", "sub", "mul", "real_div", "floor_div", "mod", "pow", "maximum", "minimum", "equal", "not_equal", "less",
    "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor",
)  # fmt: skip
_RULES: dict[str, Callable[[Call], Shape]] = {
    **dict.fromkeys(_ARITHMETIC, _broadcast("x", "y")),
    "select": _broadcast("cond", "a", "b"),
    "linear": _linear,
    "matmul": _matmul,
    "tile": _tile,
    "pad": _pad,
    "gather": _gather,
    "upsample_bilinear": _upsample,
    "resize_bilinear": _resize,
    "constexpr_lut_to_dense": _table,
}
