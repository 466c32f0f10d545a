"""Target `ort-cuda`: the emitted graph computes the static network's function, and holds nothing the CUDA provider lacks.

The graph runs on the CPU provider here, with `NhwcConv` (CUDA only) lowered to `Conv`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.core.store import ArtifactStore
from tests.conftest import export_small
from tests.support.onnx_lowering import lower_nhwc

pytest.importorskip("torch")
import torch

onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
ort = pytest.importorskip("onnxruntime")

# Operators with a kernel of every dtype that is used here, from ONNX Runtime's docs/OperatorKernels.md (CUDA).
ON_CUDA = {
    "Abs", "Add", "BiasGelu", "Cast", "Clip", "Concat", "Cos", "Div", "Equal", "Exp", "Gemm", "LayerNormalization", "Less",
    "MatMul", "Max", "Mul", "MultiHeadAttention", "Neg", "NhwcConv", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceSum", "Relu", "Reshape", "RotaryEmbedding", "ScatterND", "Sin", "SkipLayerNormalization", "Slice", "Split",
    "Sub", "Sum", "Transpose", "Where",
}  # fmt: skip


@cache
def upstream(weights: str) -> torch.nn.Module:
    pytest.importorskip("depth_anything_3")
    from depthport.exporters.da3.build import named_upstream

    return named_upstream("da3-small", weights)


def static(
    size: tuple[int, int, int, int],
    precision: str = "fp32",
    outputs: tuple[str, ...] | None = None,
    weights: str = "synthetic:0",
) -> Any:
    from depthport.exporters.da3.static.network import build_static

    return build_static(upstream(weights), *size, outputs, POLICIES[precision])


def emit(network: Any) -> Any:
    from depthport.exporters.onnx.cuda.network import emit_network

    return ir.to_proto(emit_network(network))


def run(model: Any, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(lower_nhwc(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": image}), strict=True))


def compare(network: Any, reference: Any, tolerance: float) -> None:
    shape = network.shape
    size = (shape.batch, shape.views, 3, shape.height, shape.width)
    image = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    found = run(emit(network), image)
    assert tuple(found) == network.output_names
    with torch.no_grad():
        expected = dict(zip(network.output_names, reference(torch.from_numpy(image)), strict=True))
    for name, value in expected.items():
        value = value.numpy()
        assert found[name].shape == value.shape and found[name].dtype == value.dtype, name
        if name == "reference_view":
            np.testing.assert_array_equal(found[name], value)
        else:
            assert np.linalg.norm(found[name] - value) <= tolerance * np.linalg.norm(value), name


@pytest.mark.parametrize(
    ("size", "outputs", "weights"),
    [
        ((1, 3, 70, 98), None, "synthetic:0"),
        # Fewer views than one is chosen among; more rows than columns; a level whose size does not change.
        ((2, 1, 28, 14), None, "synthetic:0,outliers"),
        # More views than the head takes at a time, several scenes.
        ((3, 3, 28, 42), ("depth", "depth_conf", "ray", "ray_conf"), "synthetic:1"),
        ((1, 2, 42, 28), ("extrinsics", "reference_view"), "synthetic:1"),
        ((1, 1, 42, 70), ("ray", "ray_conf"), "synthetic:1"),
    ],
)
def test_fp32_is_the_static_network(size: tuple[int, int, int, int], outputs: tuple[str, ...] | None, weights: str) -> None:
    network = static(size, outputs=outputs, weights=weights)
    compare(network, network, 5e-6)


@pytest.mark.parametrize("precision", ["fp16", "fp16-mixed"])
def test_fp16_is_near_the_fp32_network(precision: str) -> None:
    size, weights = (1, 3, 42, 56), "synthetic:0,outliers"
    compare(static(size, precision, weights=weights), static(size, weights=weights), 1e-2)


@pytest.mark.parametrize("views", [1, 3])
def test_every_operator_has_a_cuda_kernel_and_no_output_is_constant(views: int) -> None:
    network = static((1, views, 42, 42), "fp16")
    model = emit(network)
    assert {node.op_type for node in model.graph.node} <= ON_CUDA
    constants = {value.name for value in model.graph.initializer}
    outputs = {value.name for value in model.graph.output}
    assert not outputs & constants
    # A fixed output must survive constant folding too: what it is made of depends on the input.
    produced = {name: node for node in model.graph.node for name in node.output}

    def depends(name: str) -> bool:
        return name == "image" or (name in produced and any(depends(source) for source in produced[name].input))

    assert all(depends(name) for name in outputs)


def test_fusions_are_those_of_the_network() -> None:
    network = static((1, 3, 42, 42), "fp16")
    operators = [node.op_type for node in emit(network).graph.node]
    blocks = len(network.backbone.blocks)
    normed = sum(block.attn.q_norm is not None for block in network.backbone.blocks)
    assert operators.count("MultiHeadAttention") == operators.count("BiasGelu") == blocks
    assert operators.count("SkipLayerNormalization") == 2 * blocks + 2 * normed
    assert operators.count("Conv") == operators.count("Resize") == operators.count("Softmax") == 0


def test_a_split_product_survives_tf32() -> None:
    """Operands rounded to 11 bits, as TF32 hardware reads them, still give an fp32 product."""
    from depthport.exporters.onnx.cuda.camera import split_product, tf32
    from depthport.exporters.onnx.cuda.emitter import Emitter

    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3, 256, generator=generator), torch.randn(5, 256, generator=generator)
    g = Emitter()
    image = g.input("x", (3, 256), torch.float32)
    model = ir.to_proto(g.model([image], [("y", split_product(g, "w", image, weight, 3), (3, 5))]))
    for value in model.graph.initializer:
        if value.name == "w.weight":
            array = torch.from_numpy(onnx.numpy_helper.to_array(value).copy())
            value.CopyFrom(onnx.numpy_helper.from_array(tf32(array).numpy(), value.name))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    exact = (x.double() @ weight.double().T).numpy()
    error = np.linalg.norm(session.run(None, {"x": x.numpy()})[0] - exact) / np.linalg.norm(exact)
    rounded = np.linalg.norm((tf32(x) @ tf32(weight).T).numpy() - exact) / np.linalg.norm(exact)
    assert error < 1e-6 < 1e-5 < rounded


@pytest.mark.parametrize(("old", "new"), [(5, 9), (9, 9), (1, 4), (7, 3), (36, 72), (3, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_interpolation_is_torchs(old: int, new: int, dtype: torch.dtype) -> None:
    from depthport.exporters.onnx.cuda.maps import interpolation_matrix

    matrix = interpolation_matrix(old, new, dtype)
    assert matrix.dtype == dtype and torch.equal(matrix.sum(dim=1).float(), torch.ones(new))
    x = torch.randn(1, 1, old, 1, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(x, size=(new, 1), mode="bilinear", align_corners=True)[0, 0, :, 0]
    found = matrix.float() @ x[0, 0, :, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 if dtype is torch.float32 else 2e-3)


def test_rotary_pairs_lie_half_a_head_apart() -> None:
    from depthport.exporters.da3.static.rope import apply_rope, local_table
    from depthport.exporters.onnx.cuda.attention import rotary_caches, rotary_order

    table = local_table((2, 3), 16, 100.0)
    order = rotary_order(16)
    cos, sin = rotary_caches(table)
    x = torch.randn(7, 1, 16, generator=torch.Generator().manual_seed(0))
    first, second = x[:, 0, order].chunk(2, dim=-1)
    rotated = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    torch.testing.assert_close(rotated, apply_rope(x, table)[:, 0, order])


@pytest.mark.parametrize("precision", ["bf16", "bf16-mixed", "bf16-fp16"])
def test_bf16_is_refused_with_what_to_use(store: ArtifactStore, precision: str) -> None:
    with pytest.raises(UnsupportedError, match=r"no bfloat16 .* use one of fp32, tf32, fp16, fp16-mixed"):
        export_small(store, "onnx", precision=precision, target="ort-cuda")


def test_other_providers_refuse_the_artifact(store: ArtifactStore) -> None:
    from depthport.runtimes.base import LoadOptions
    from depthport.runtimes.onnxruntime.runtime import OnnxRuntimeRuntime

    artifact = export_small(store, "onnx", target="ort-cuda", precision="fp16").artifact
    with pytest.raises(UnsupportedError, match=r"CUDA provider only.*export it without that target"):
        OnnxRuntimeRuntime().load(artifact, "cpu", LoadOptions(threads=1))


@pytest.mark.gpu
@pytest.mark.parametrize("views", [1, 3])
def test_replayed_graph_follows_its_inputs(store: ArtifactStore, views: int) -> None:
    """On a GPU: all nodes on CUDA, and a captured graph gives each input's own outputs."""
    from depthport.runtimes.base import LoadOptions
    from depthport.runtimes.onnxruntime.runtime import OnnxRuntimeRuntime

    cuda = next(device for device in OnnxRuntimeRuntime().probe() if device.name == "cuda")
    if not cuda.available:
        pytest.skip(f"{cuda.unavailable}")
    artifact = export_small(store, "onnx", target="ort-cuda", precision="fp16", views=views).artifact
    reference = static((1, views, 70, 98))
    rng = np.random.default_rng(1)
    with OnnxRuntimeRuntime().load(artifact, "cuda", LoadOptions(mode="cuda-graph")) as session:
        for _ in range(3):
            image = rng.standard_normal((1, views, 3, 70, 98)).astype(np.float32)
            session.bind({"image": image})
            session.run()
            session.synchronize()
            found = session.outputs()
            with torch.no_grad():
                expected = dict(zip(reference.output_names, reference(torch.from_numpy(image)), strict=True))
            for name in ("depth", "extrinsics", "intrinsics"):
                value = expected[name].numpy()
                assert np.linalg.norm(found[name] - value) <= 1e-2 * np.linalg.norm(value), name
            np.testing.assert_array_equal(found["reference_view"], expected["reference_view"].numpy())
        placement = session.placement()
    assert placement.fallback == () and placement.details["cuda_graph"]
