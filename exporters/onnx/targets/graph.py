"""Helpers of the rewrites: reading constants, adding them, redirecting uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir


def array(value: onnx_ir.Value | None) -> np.ndarray | None:
    """The content of an initializer; None for anything else."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return value.const_value.numpy()


def constant(graph: onnx_ir.Graph, name: str, content: np.ndarray) -> onnx_ir.Value:
    """A new initializer; one of the same name and content is used again."""
    import onnx_ir as ir

    known = array(graph.initializers.get(name))
    if known is not None and known.dtype == content.dtype and np.array_equal(known, content):
        return graph.initializers[name]
    while name in graph.initializers:
        name += "_"
    tensor = ir.tensor(np.asarray(content, order="C"), name=name)
    value = ir.Value(name=name, shape=ir.Shape(content.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.initializers[name] = value
    return value


def only_user(value: onnx_ir.Value, op_type: str) -> onnx_ir.Node | None:
    """The node that reads `value`, if there is one only, it is an `op_type`, and `value` is no output of the graph."""
    users = [use.node for use in value.uses()]
    return users[0] if len(users) == 1 and users[0].op_type == op_type and not value.is_graph_output() else None


def replace_uses(old: onnx_ir.Value, new: onnx_ir.Value) -> None:
    """Every node that reads `old` reads `new`."""
    for use in tuple(old.uses()):
        use.node.replace_input_with(use.idx, new)


def drop_unused_initializers(graph: onnx_ir.Graph) -> None:
    """Initializers that no node reads and that are no output go."""
    for name in [n for n, value in graph.initializers.items() if not list(value.uses()) and not value.is_graph_output()]:
        del graph.initializers[name]
