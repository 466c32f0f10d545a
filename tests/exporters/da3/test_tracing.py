"""The static network in everything that captures graphs: torch.export, torch.compile, the ONNX exporter."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.core.precision import POLICIES  # noqa: E402
from depthport.exporters.da3.static.network import build_static  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from tests.support.static_network import ALL_OUTPUTS, assert_parity  # noqa: E402


@pytest.fixture(scope="module")
def exported(upstream: Any, scene: Any) -> Any:
    """`exported(batch, views)`: the program, an image, and upstream's outputs for it."""

    def make(batch: int, views: int) -> tuple[Any, Any, dict[str, Any]]:
        image = scene(batch, views, 70, 98, seed=3)
        net = build_static(upstream(), batch, views, 70, 98, ALL_OUTPUTS, POLICIES["fp32"])
        program = torch.export.export(net, (torch.zeros_like(image),), strict=False)
        return program, image, upstream_forward(upstream(), image, ALL_OUTPUTS)

    return make


# What breaks one converter or another: in-place writes, data-dependent sizes, reciprocals, bicubic resizing.
FORBIDDEN = ("nonzero", "_local_scalar_dense", "index_put", "copy_.", "fill_.", "reciprocal", "bicubic")


def nodes(program: Any) -> list[Any]:
    return [node for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize(("batch", "views"), [(1, 1), (1, 3), (2, 3)])
def test_export_gives_the_same_function_of_plain_operations(exported: Any, batch: int, views: int) -> None:
    program, image, expected = exported(batch, views)
    assert_parity(dict(zip(expected, program.module()(image), strict=True)), expected)
    for node in nodes(program.run_decompositions({})):
        target = str(node.target)
        assert not any(word in target for word in FORBIDDEN), target
        value = node.meta.get("val")
        for tensor in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(tensor, torch.Tensor):
                assert tensor.dim() <= 5 and tensor.numel() > 0, node


def test_one_view_needs_no_selection_of_a_reference(exported: Any) -> None:
    program, _, _ = exported(1, 1)
    assert not any("argmin" in str(node.target) or "index" in str(node.target) for node in nodes(program))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("views", [1, 3])
def test_compile_captures_the_whole_graph(upstream: Any, scene: Any, views: int, backend: str) -> None:
    image = scene(1, views, 70, 98)
    net = build_static(upstream(), 1, views, 70, 98, ALL_OUTPUTS, POLICIES["fp32"])
    torch._dynamo.reset()
    with torch.no_grad():
        actual = torch.compile(net, fullgraph=True, backend=backend)(image)
    expected = upstream_forward(upstream(), image, ALL_OUTPUTS)
    # A backend may decompose layers, which rounds differently.
    assert_parity(dict(zip(expected, actual, strict=True)), expected, bound=1e-6 if backend == "eager" else 1e-5)


@pytest.mark.parametrize("views", [1, 3])
def test_onnx_equals_upstream(exported: Any, views: int, tmp_path: Any) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    program, image, expected = exported(1, views)
    file = tmp_path / "da3.onnx"
    torch.onnx.export(
        program, (image,), dynamo=True, opset_version=20, input_names=["image"], output_names=list(expected)
    ).save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    actual = [torch.from_numpy(value) for value in session.run(None, {"image": image.numpy()})]
    assert_parity(dict(zip(expected, actual, strict=True)), expected, bound=1e-5)
