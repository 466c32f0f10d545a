"""Target `openvino`: constants that the compiler would add up to a large one stay apart, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

ir = pytest.importorskip("onnx_ir")

SHAPES = {"map": (1, 4, 24, 20), "column": (1, 4, 1, 20), "row": (1, 4, 24, 1)}


def sum_of(first: str, second: str, dtype: Any) -> tuple[Any, dict[str, NDArray[Any]]]:
    """x + first + second."""
    rng = np.random.default_rng(0)
    held = {name: rng.standard_normal(SHAPES[name]).astype(np.float32) for name in (first, second)}
    values = {
        name: ir.Value(
            name=name, shape=ir.Shape(array.shape), type=ir.TensorType(dtype),
            const_value=ir.tensor(array.astype(dtype.numpy()), name=name),
        )
        for name, array in held.items()
    }  # fmt: skip
    x = ir.Value(name="x", shape=ir.Shape(SHAPES["map"]), type=ir.TensorType(dtype))
    inner = ir.node("Add", [x, values[first]])
    outer = ir.node("Add", [inner.outputs[0], values[second]])
    for node, name in ((inner, "inner"), (outer, "y")):
        node.outputs[0].name, node.outputs[0].shape, node.outputs[0].type = name, x.shape, x.type
    graph = ir.Graph([x], outer.outputs, nodes=[inner, outer], initializers=list(values.values()), opset_imports={"": 23})
    return ir.Model(graph, ir_version=10), held


@pytest.mark.parametrize("dtype", [ir.DataType.FLOAT, ir.DataType.BFLOAT16])
def test_a_sum_of_row_and_column_is_not_made_a_map(dtype: Any, tmp_path: Any) -> None:
    openvino = pytest.importorskip("openvino")
    from depthport.exporters.onnx.targets.openvino import rewrite

    model, held = sum_of("column", "row", dtype)
    largest = []
    for path in (tmp_path / "as-exported.onnx", tmp_path / "rewritten.onnx"):
        ir.save(model, path)
        compiled = openvino.Core().compile_model(str(path), "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
        constants = [op for op in compiled.get_runtime_model().get_ops() if not op.get_input_size()]
        largest.append(max(int(np.prod(op.output(0).shape)) for op in constants if op.get_friendly_name() != "x"))
        rewrite(model)
    assert largest[0] == 4 * 24 * 20
    assert largest[1] == 4 * 24
    if dtype == ir.DataType.FLOAT:
        x = np.random.default_rng(1).standard_normal(SHAPES["map"]).astype(np.float32)
        found = compiled({"x": x})[0]
        np.testing.assert_allclose(found, x + held["column"] + held["row"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("first", "second"), [("map", "row"), ("row", "row"), ("row", "map")])
def test_constants_that_add_up_to_no_more_are_left_to_it(first: str, second: str) -> None:
    from depthport.exporters.onnx.targets.openvino import rewrite

    rewritten = rewrite(sum_of(first, second, ir.DataType.FLOAT)[0])
    assert [node.op_type for node in rewritten.graph] == ["Add", "Add"]
