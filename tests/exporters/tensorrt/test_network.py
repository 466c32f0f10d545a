"""The real parser on da3-small in every precision: types, attention, casts. And that the audit would notice."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.errors import ExportError, UnsupportedError
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.onnx.graph_file import read_graph
from depthport.exporters.tensorrt.build import parse, supports_operator
from depthport.exporters.tensorrt.network import Audit, OnnxFacts, audit, walk
from depthport.exporters.tensorrt.onnx_file import onnx_facts
from depthport.exporters.tensorrt.preflight import preflight

BLOCKS = 12
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "bf16-fp16", "int8", "fp8")
FILES = {"tf32": "fp32"}
"""Graphs that are the same: TF32 is a flag of the builder."""


def look(trt: Any, path: Path, precision: str) -> tuple[list[Any], OnnxFacts, Audit]:
    parsed = parse(trt, path)
    layers, facts = walk(parsed.network), onnx_facts(read_graph(path))
    return layers, facts, audit(layers, facts, POLICIES[precision])


@pytest.mark.parametrize("precision", [p for p in PRECISIONS if p != "bf16-fp16"])
def test_every_tensor_has_the_type_the_policy_says(precision: str, trt: Any, graphs: Any) -> None:
    policy = POLICIES[precision]
    layers, _, found = look(trt, graphs(FILES.get(precision, precision)), precision)
    assert found.errors == ()
    assert found.notes == (), "casts follow each other"
    assert found.checked > 600
    assert found.attention == {"IAttention": BLOCKS}
    assert found.products["backbone matrix_multiply"] == {policy.backbone: 4 * BLOCKS}
    assert found.products["backbone attention_output"] == {policy.backbone: BLOCKS}
    assert found.products["camera matrix_multiply"] == {policy.camera: 3}
    assert found.products["logits convolution"] == {"float32": 1}
    assert set(found.products["head convolution"]) == {policy.head}
    # LayerNorm, QK-norm and the residual stream are fp32 in every policy.
    assert {layer.dtypes[0] for layer in layers if layer.kind == "NORMALIZATION"} == {"FLOAT"}
    quantized = sum(layer.kind == "QUANTIZE" for layer in layers)
    # Blocks in front of the choice of the reference view keep their precision: three of twelve.
    assert quantized == (4 * (BLOCKS - 3) if policy.quantization else 0)
    if policy.quantization:
        kinds = {layer.dtypes[0] for layer in layers if layer.kind == "QUANTIZE"}
        assert kinds == {"INT8" if policy.quantization == "int8" else "FP8"}
        assert sum(layer.kind == "DEQUANTIZE" for layer in layers) == 2 * quantized


def test_no_transposed_convolution_is_left(trt: Any, graphs: Any) -> None:
    """TensorRT-RTX 1.7.1 can't build one in bf16."""
    _, _, found = look(trt, graphs("bf16"), "bf16")
    assert "DECONVOLUTION" not in found.layers


def test_the_audit_notices_another_policy(trt: Any, graphs: Any) -> None:
    layers, facts, _ = look(trt, graphs("fp16"), "fp16")
    errors = audit(layers, facts, POLICIES["fp16-mixed"]).errors
    assert errors and all("the policy says float32" in line and "head" in line for line in errors)


def test_the_audit_notices_a_changed_tensor(trt: Any, graphs: Any) -> None:
    layers, facts, _ = look(trt, graphs("fp16"), "fp16")
    index = next(i for i, layer in enumerate(layers) if layer.kind == "MATRIX_MULTIPLY" and "HALF" in layer.dtypes)
    layers[index] = replace(layers[index], dtypes=("FLOAT",))
    errors = audit(layers, facts, POLICIES["fp16"]).errors
    assert len(errors) == 2 and f"{layers[index].outputs[0]!r} is FLOAT, the ONNX file has HALF" in errors[0]


def test_the_audit_notices_lost_attention(trt: Any, graphs: Any) -> None:
    layers, facts, _ = look(trt, graphs("fp16"), "fp16")
    lost = [layer for layer in layers if layer.kind != "ATTENTION_OUTPUT"]
    assert any("12 attentions went in and 0 arrived" in line for line in audit(lost, facts, POLICIES["fp16"]).errors)


def test_the_audit_notices_casts_in_a_row(trt: Any, graphs: Any) -> None:
    layers, facts, _ = look(trt, graphs("fp16"), "fp16")
    index = next(i for i, layer in enumerate(layers) if layer.kind == "CAST" and layer.dtypes == ("HALF",))
    cast = layers[index]
    layers.insert(index + 1, replace(cast, name="again", inputs=cast.outputs, outputs=("again",), dtypes=("FLOAT",)))
    (note,) = audit(layers, facts, POLICIES["fp16"]).notes
    assert "cast 'again' to FLOAT follows cast" in note


@pytest.mark.slow
def test_attention_of_old_versions_arrives_as_their_pattern(trt: Any, exported: Any) -> None:
    pytest.importorskip("onnxscript")
    path = exported("onnx", target="tensorrt-matmul").file("model.onnx")
    _, _, found = look(trt, path, "fp32")
    assert found.errors == () and found.attention == {"MatMul-Softmax-MatMul": BLOCKS}


def test_preflight_takes_the_network_and_weighs_it(trt: Any, graphs: Any) -> None:
    path = graphs("fp16")
    found = preflight(read_graph(path), supports_operator(trt), ["sm75"], {})
    assert found.problems == ()
    assert 0.9 < found.weights_bytes / path.stat().st_size <= 1.0
    assert found.activations_bytes > 3 * 36 * 384 * 4


def model_of(nodes: list[Any], inputs: list[Any], outputs: list[Any], domains: tuple[str, ...] = ()) -> Any:
    import onnx
    import onnx_ir

    opsets = [onnx.helper.make_opsetid("", 21), *(onnx.helper.make_opsetid(domain, 1) for domain in domains)]
    made = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", inputs, outputs), opset_imports=opsets)
    with contextlib.suppress(onnx.shape_inference.InferenceError):
        made = onnx.shape_inference.infer_shapes(made)
    return onnx_ir.from_proto(made), made


def one_node(operator: str, dtype: str = "FLOAT", shape: tuple[Any, ...] = (2, 3), domain: str = "") -> Any:
    import onnx
    from onnx.helper import make_node, make_tensor_value_info

    kind = getattr(onnx.TensorProto, dtype)
    node = make_node(operator, ["x"], ["y"], name="the_node", domain=domain)
    return model_of(
        [node], [make_tensor_value_info("x", kind, shape)], [make_tensor_value_info("y", kind, shape)],
        (domain,) if domain else (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("node", "capability", "why"),
    [
        ({"operator": "Hardmax"}, "sm89", None),
        ({"operator": "StringNormalizer"}, "sm89", "no such operator"),
        ({"operator": "FusedMatMul", "domain": "com.microsoft"}, "sm89", "of domain 'com.microsoft'"),
        ({"operator": "Relu", "dtype": "DOUBLE"}, "sm89", "'x' is double, which TensorRT lacks"),
        ({"operator": "Relu", "dtype": "BFLOAT16"}, "sm75", "bfloat16, which sm75 has not: Ampere"),
        ({"operator": "Relu", "dtype": "BFLOAT16"}, "sm80", None),
        ({"operator": "Relu", "shape": (1,) * 9}, "sm89", "9 dimensions"),
        ({"operator": "Relu", "shape": (1 << 16, 1 << 15)}, "sm89", "2,147,483,648 elements"),
    ],
)
def test_preflight_names_the_node_and_why(node: dict[str, Any], capability: str, why: str | None, trt: Any) -> None:
    pytest.importorskip("onnx")
    model, _ = one_node(**node)
    found = preflight(model, supports_operator(trt), [capability], {})
    if why is None:
        assert found.problems == ()
        return
    with pytest.raises(UnsupportedError, match="the_node") as raised:
        found.require()
    assert why in str(raised.value) and "\n" not in str(raised.value)


def test_preflight_wants_a_range_for_every_open_dimension(trt: Any) -> None:
    pytest.importorskip("onnx")
    model, _ = one_node("Relu", shape=("views", 3))
    with pytest.raises(UnsupportedError, match="leaves views open without a range"):
        preflight(model, supports_operator(trt), ["sm89"], {}).require()


def test_a_node_only_the_parser_refuses_is_named(trt: Any, tmp_path: Path) -> None:
    """A cubic resize with antialiasing: an operator it knows, in a form it does not."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], name="smooth", mode="cubic", antialias=1)
    scale = onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", 1, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", 1, (1, 3, 16, 16))], [scale],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedError, match=r"node 'smooth' \(Resize\)") as raised:
        parse(trt, tmp_path / "model.onnx")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"not protobuf at all", None])
def test_a_file_that_is_no_model_is_one_line(content: bytes | None, trt: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnx_ir")
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExportError) as raised:
        read_graph(path)
    assert "\n" not in str(raised.value) and "model.onnx" in str(raised.value)
