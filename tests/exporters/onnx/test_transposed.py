"""Transposed convolutions as 1×1 convolutions: the same sums, and nothing else touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info  # noqa: E402

from depthport.exporters.onnx.targets.transposed import split_transposed  # noqa: E402


def model(kernel: int, stride: int, bias: bool = True, **attributes: Any) -> Any:
    rng = np.random.default_rng(kernel)
    weight = rng.standard_normal((5, 3, kernel, kernel)).astype(np.float32)
    initializers = [onnx.numpy_helper.from_array(weight, "w")]
    if bias:
        initializers.append(onnx.numpy_helper.from_array(rng.standard_normal(3).astype(np.float32), "b"))
    inputs = ["x", "w", "b"] if bias else ["x", "w"]
    node = make_node(
        "ConvTranspose", inputs, ["y"], name="up", kernel_shape=[kernel] * 2, strides=[stride] * 2, **attributes
    )
    graph = make_graph(
        [node], "g", [make_tensor_value_info("x", 1, (2, 5, 4, 6))], [make_tensor_value_info("y", 1, None)], initializers
    )
    return onnx.shape_inference.infer_shapes(make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=9))


def run(proto: Any) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_the_same_sums(kernel: int, bias: bool) -> None:
    proto = model(kernel, kernel, bias)
    graph = ir.from_proto(proto)
    assert split_transposed(graph) == 1
    assert [node.op_type for node in graph.graph] == ["Conv", "DepthToSpace"]
    rewritten = ir.to_proto(graph)
    onnx.checker.check_model(rewritten, full_check=True)
    np.testing.assert_allclose(run(rewritten), run(proto), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "attributes"),
    [
        (4, 2, {}),
        (1, 1, {}),
        (2, 2, {"pads": [1, 1, 1, 1]}),
        (2, 2, {"output_padding": [1, 1]}),
        (2, 2, {"dilations": [2, 2]}),
    ],
)
def test_others_are_left_alone(kernel: int, stride: int, attributes: dict[str, Any]) -> None:
    graph = ir.from_proto(model(kernel, stride, **attributes))
    assert split_transposed(graph) == 0
    assert [node.op_type for node in graph.graph] == ["ConvTranspose"]
