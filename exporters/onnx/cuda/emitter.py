"""Writing an ONNX graph node by node: values carry their dtype, constants are torch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.tensor_adapters import TorchTensor
from torch import Tensor

CONTRIB = "com.microsoft"
OPSET = 18
Value = ir.Value

_DTYPES = {
    torch.float32: ir.DataType.FLOAT,
    torch.float16: ir.DataType.FLOAT16,
    torch.int64: ir.DataType.INT64,
    torch.bool: ir.DataType.BOOL,
}
_TORCH_DTYPES = {onnx: dtype for dtype, onnx in _DTYPES.items()}


class Emitter:
    """One graph as it grows. Names of constants and nodes are prefixed with :attr:`scope`."""

    def __init__(self) -> None:
        self.scope = ""
        self._nodes: list[ir.Node] = []
        self._constants: dict[str, Value] = {}
        self._contrib = False

    # Constants

    def constant(self, name: str, tensor: Tensor, dtype: torch.dtype | None = None) -> Value:
        """A new initializer with the content of `tensor`, in `dtype`."""
        tensor = tensor.detach()
        tensor = (tensor if dtype is None else tensor.to(dtype)).contiguous()
        return self._initializer(f"{self.scope}{name}", tensor)

    def integers(self, *values: int) -> Value:
        """A vector of int64; the same values are one initializer."""
        name = "i_" + "_".join(map(str, values)).replace("-", "m")
        known = self._constants.get(name)
        return known if known is not None else self._initializer(name, torch.tensor(values))

    def scalar(self, value: float, dtype: torch.dtype = torch.float32) -> Value:
        """A number of rank 0; the same number is one initializer."""
        name = f"s_{value!r}_{str(dtype).removeprefix('torch.')}"
        known = self._constants.get(name)
        return known if known is not None else self._initializer(name, torch.tensor(value, dtype=dtype))

    def _initializer(self, name: str, tensor: Tensor) -> Value:
        while name in self._constants:
            name += "_"
        content = TorchTensor(tensor, name=name)
        value = ir.Value(
            name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(_DTYPES[tensor.dtype]), const_value=content
        )
        self._constants[name] = value
        return value

    # Nodes

    def op(
        self,
        op_type: str,
        *inputs: Value | None,
        dtype: torch.dtype | None = None,
        contrib: bool = False,
        **attributes: object,
    ) -> Value:
        """A node with one output, of the dtype of the first input unless another is given."""
        return self.ops(op_type, *inputs, outputs=(0,), dtype=dtype, contrib=contrib, **attributes)[0]

    def ops(
        self,
        op_type: str,
        *inputs: Value | None,
        outputs: Sequence[int],
        dtype: torch.dtype | None = None,
        contrib: bool = False,
        **attributes: Any,
    ) -> list[Value]:
        """A node with several outputs; returns those at the positions `outputs`, the rest is not asked for."""
        self._contrib |= contrib
        name = f"{self.scope}{op_type}_{len(self._nodes)}"
        first = inputs[0]
        assert first is not None
        kind = first.type if dtype is None else ir.TensorType(_DTYPES[dtype])
        made = [
            ir.Value(name=f"{name}_{index}", type=kind) if index in outputs else ir.Value(name="")
            for index in range(max(outputs) + 1)
        ]
        domain = CONTRIB if contrib else ""
        self._nodes.append(ir.node(op_type, inputs, attributes, domain=domain, outputs=made, name=name))
        return [made[index] for index in outputs]

    def cast(self, x: Value, dtype: torch.dtype) -> Value:
        """`x` in `dtype`; no node where it has it already."""
        if x.type is not None and x.type.dtype == _DTYPES[dtype]:
            return x
        return self.op("Cast", x, dtype=dtype, to=_DTYPES[dtype])

    def reshape(self, x: Value, *shape: int) -> Value:
        return self.op("Reshape", x, self.integers(*shape))

    def transpose(self, x: Value, *order: int) -> Value:
        return self.op("Transpose", x, perm=list(order))

    def slice(self, x: Value, axis: int, start: int, end: int) -> Value:
        return self.op("Slice", x, self.integers(start), self.integers(end), self.integers(axis))

    def reduce(self, op_type: str, x: Value, axis: int, keep: bool = True) -> Value:
        return self.op(op_type, x, self.integers(axis), keepdims=int(keep))

    # The whole

    def input(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Value:
        return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(_DTYPES[dtype]))

    def model(self, inputs: Sequence[Value], outputs: Sequence[tuple[str, Value, Sequence[int]]]) -> ir.Model:
        """The finished graph.

        Args:
            inputs: made by :meth:`input`.
            outputs: (name, value, shape) of each; every value must be some node's own.
        """
        for name, value, shape in outputs:
            value.name, value.shape = name, ir.Shape(shape)
        graph = ir.Graph(
            inputs,
            [value for _, value, _ in outputs],
            nodes=self._nodes,
            initializers=list(self._constants.values()),
            opset_imports={"": OPSET, **({CONTRIB: 1} if self._contrib else {})},
            name="depthport",
        )
        return ir.Model(graph, ir_version=10)
