"""Floating-point operations of each MIL operation: two for a multiplication and its addition, one for anything else."""

from __future__ import annotations

from math import prod

from depthport.exporters.coreml.mil.program import Function, Operation, TensorType


def flops(operation: Operation, types: dict[str, TensorType]) -> int:
    """FLOPs of one operation; data movement and constants have none.

    Args:
        operation: of a function.
        types: declared type of every value of that function.
    """
    output = operation.outputs[0].type
    if operation.type in _FREE or operation.type.startswith("constexpr_") or output is None:
        return 0
    if operation.type in ("conv", "conv_transpose"):
        weight = _shape(operation, "weight", types)
        source = output.size if operation.type == "conv" else prod(_shape(operation, "x", types))
        return 2 * source * prod(weight[1:])
    if operation.type == "linear":
        return 2 * output.size * _size(_shape(operation, "weight", types), -1)
    if operation.type == "matmul":
        return 2 * output.size * _size(_shape(operation, "x", types), -1)
    if operation.type == "scaled_dot_product_attention":
        query, key = _shape(operation, "query", types), _shape(operation, "key", types)
        return 2 * prod(query[:-1]) * _size(key, -2) * (_size(query, -1) + _size(output.shape, -1))
    return output.size


def function_flops(function: Function) -> dict[str, int]:
    """FLOPs by operation name, constants left out."""
    types = function.types()
    return {op.name: flops(op, types) for op in function.operations if op.type != "const"}


_FREE = frozenset({
    "const", "reshape", "transpose", "slice_by_index", "slice_by_size", "split", "concat", "stack", "expand_dims",
    "squeeze", "gather", "tile", "cast", "identity", "pad",
})  # fmt: skip


def _shape(operation: Operation, parameter: str, types: dict[str, TensorType]) -> tuple[int, ...]:
    """Shape of an operand; empty where it is missing, as in a damaged file."""
    bindings = operation.inputs.get(parameter, ())
    name = bindings[0].name if bindings else None
    return tuple(d or 1 for d in types[name].shape) if name is not None and name in types else ()


def _size(shape: tuple[int | None, ...], axis: int) -> int:
    return shape[axis] or 1 if len(shape) >= -axis else 1
