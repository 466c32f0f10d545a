"""Rounding as typed, the first layer out of tolerance, and activations near fp16's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.precision import POLICIES
from depthport.exporters.onnx.probes import Probe, expose, fetch, groups, probes, session
from depthport.exporters.precision_check.emulate import emulate
from depthport.exporters.precision_check.layers import compare, emulated, tolerance_of
from depthport.exporters.precision_check.ranges import LIMIT, check_ranges, report

onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
pytest.importorskip("onnxruntime")
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info  # noqa: E402

DEPTH, WIDTH = 4, 32
KINDS = {"fp32": "FLOAT", "fp16": "FLOAT16", "bf16": "BFLOAT16"}


def chain(folder: Path, precision: str, scale: float = 1.0, damaged: int | None = None) -> Path:
    """A chain of products in one dtype, cast from and to fp32, with the same names in every precision."""
    import ml_dtypes

    kind = getattr(onnx.TensorProto, KINDS[precision])
    dtype = {"fp32": np.float32, "fp16": np.float16, "bf16": ml_dtypes.bfloat16}[precision]
    rng = np.random.default_rng(0)
    nodes, weights = [make_node("Cast", ["image"], ["h0"], to=kind)], []
    for layer in range(DEPTH):
        weight = rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) / np.sqrt(WIDTH) * scale
        if layer == damaged:
            weight[:, 0] *= -1
        weights.append(ir.to_proto(ir.tensor(weight.astype(dtype), name=f"w{layer}")))
        nodes.append(make_node("MatMul", [f"h{layer}", f"w{layer}"], [f"h{layer + 1}"], name=f"product{layer}"))
    nodes.append(make_node("Cast", [f"h{DEPTH}"], ["out"], to=onnx.TensorProto.FLOAT))
    shape = (3, WIDTH)
    graph = make_graph(
        nodes, "chain", [make_tensor_value_info("image", 1, shape)], [make_tensor_value_info("out", 1, shape)], weights
    )
    model = onnx.shape_inference.infer_shapes(make_model(graph, opset_imports=[make_opsetid("", 21)]))
    path = folder / f"{precision}.onnx"
    onnx.save(model, path)
    return path


def image(seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal((3, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_every_stored_tensor_is_rounded(precision: str, tmp_path: Path) -> None:
    import ml_dtypes

    dtype, epsilon = {"fp16": (np.float16, 2.0**-10), "bf16": (ml_dtypes.bfloat16, 2.0**-7)}[precision]
    path = chain(tmp_path, precision)
    model = ir.load(path)
    assert emulate(model) == DEPTH + 1
    names = [f"h{layer}" for layer in range(DEPTH + 1)]
    expose(model, names)
    with session(model) as native:
        found = fetch(native, names, {"image": image()})
    value = image().astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(found["h0"], value)
    weights = {name: v.const_value.numpy() for name, v in ir.load(path).graph.initializers.items()}
    for layer in range(DEPTH):
        assert found[f"h{layer + 1}"].dtype == np.float32
        exact = found[f"h{layer}"] @ weights[f"w{layer}"].astype(np.float32)
        np.testing.assert_array_equal(found[f"h{layer + 1}"], found[f"h{layer + 1}"].astype(dtype).astype(np.float32))
        error = np.abs(found[f"h{layer + 1}"] - exact)
        assert (error <= 2 * epsilon * np.abs(exact) + 1e-3).all()


def test_an_fp32_graph_is_left_alone(tmp_path: Path) -> None:
    assert emulate(ir.load(chain(tmp_path, "fp32"))) == 0


@pytest.mark.parametrize("damaged", [None, 0, 2])
def test_the_first_layer_out_of_tolerance_is_the_damaged_one(damaged: int | None, tmp_path: Path) -> None:
    reference = chain(tmp_path, "fp32")
    typed = chain(tmp_path, "fp16", damaged=damaged)
    found = compare(
        reference, emulated(typed), probes(ir.load(typed)), {"image": image()}, tolerance_of(POLICIES["fp16"]), "here"
    )
    assert [layer.name for layer in found.layers] == [f"h{layer + 1}" for layer in range(DEPTH)]
    if damaged is None:
        assert found.first is None and 0 < max(layer.relative for layer in found.layers) < 2e-3
    else:
        assert found.first is not None and found.first.name == f"h{damaged + 1}"


def test_an_overflow_is_infinitely_wrong(tmp_path: Path) -> None:
    reference, typed = chain(tmp_path, "fp32", scale=50.0), chain(tmp_path, "fp16", scale=50.0)
    found = compare(reference, emulated(typed), probes(ir.load(typed)), {"image": image()}, 0.02, "here")
    assert found.first is not None and np.isinf(found.first.relative)
    assert found.first.to_json()["relative"] is None, "JSON has no infinity"
    ranges = check_ranges(reference, typed, [image()])
    assert ranges.hot and ranges.hot[0].largest > LIMIT
    assert check_ranges(chain(tmp_path, "fp32"), typed, [image()]).hot == ()


@pytest.mark.parametrize(
    ("hot", "proposal"),
    [
        ([], "fp16"),
        (["head.depth.neck"], "fp16-mixed"),
        (["backbone.blocks.3.mlp.fc1"], "bf16-fp16"),
        (["backbone.blocks.3.mlp.fc1", "head.depth.neck"], "bf16"),
    ],
)
def test_the_proposal_keeps_hot_parts_out_of_fp16(hot: list[str], proposal: str) -> None:
    scopes = ["backbone.blocks.3.mlp.fc1", "head.depth.neck", "backbone.norm"]
    chosen = [Probe(scope, "MatMul", scope, "FLOAT16", 4) for scope in scopes]
    found = report(chosen, {scope: LIMIT * (1.01 if scope in hot else 0.99) for scope in scopes})
    assert (found.checked, found.proposal) == (3, proposal) and {h.scope for h in found.hot} == set(hot)
    policy = POLICIES[found.proposal]
    assert all(getattr(policy, part) != "float16" for part in found.parts)


def test_not_a_number_is_hot() -> None:
    chosen = [Probe("x", "Add", "backbone.blocks.0", "FLOAT16", 4)]
    assert report(chosen, {"x": float("nan")}).hot


def test_outputs_are_fetched_in_bounded_runs() -> None:
    many = [Probe(str(i), "Add", "", "FLOAT", 200 << 20) for i in range(5)]
    assert [len(group) for group in groups(many)] == [2, 2, 1]


def test_the_command_finds_the_layer_and_says_so(capsys: pytest.CaptureFixture[str], exported: Any) -> None:
    """The whole command on da3-small with planted outliers, at test size."""
    import typer

    pytest.importorskip("onnxscript")
    pytest.importorskip("skimage")
    from depthport.bench.cli.check import check

    folder = exported("onnx", target="tensorrt", views=3, precision="fp16").path.parent
    arguments: dict[str, Any] = {
        "precision": "fp16", "format": "tensorrt-rtx", "target": "sm89", "views": 3, "size": "70x98", "batch": 1,
        "weights": "synthetic:0", "images": None, "debug_layers": True, "artifacts": folder, "json_": False,
    }  # fmt: skip
    check("da3-small", tolerance=None, **arguments)
    text = capsys.readouterr().out
    assert "0 of 192 activations over 16376" in text and "all within; largest error" in text
    with pytest.raises(typer.Exit) as ended:
        check("da3-small", tolerance=1e-5, **arguments)
    assert ended.value.exit_code == 1
    assert "is the first to exceed it" in capsys.readouterr().out


def test_a_check_that_looked_at_nothing_has_not_passed() -> None:
    from depthport.bench.cli.check import lines
    from depthport.bench.diagnose.precision_check import Findings
    from depthport.exporters.tensorrt.network import Audit

    found = Findings("da3-small", "bf16", "synthetic:0", None, "TensorRT is not installed", None, None)
    assert not found.checked and not found.passed and "nothing was checked" in lines(found)[-1]
    network = Audit(layers={}, products={}, attention={}, errors=(), checked=1)
    seen = Findings("da3-small", "bf16", "synthetic:0", network, None, None, None)
    assert seen.passed and "nothing was checked" not in lines(seen)[-1]
