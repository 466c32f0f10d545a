"""The portable file, read by a converter that shares nothing with its maker: cameras, too, are the network's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Exported
from tests.runtimes.test_runtime_parity import upstream_of

onnx = pytest.importorskip("onnx")
VIEWS = 3


def test_norms_and_gelu_are_spelled_out(exported: Exported) -> None:
    model = onnx.load(exported("onnx", views=VIEWS).file("model.onnx"))
    operators = {node.op_type for node in model.graph.node}
    assert not {"ReduceL2", "Gelu", "LpNormalization"} & operators
    assert {"ReduceSum", "Sqrt", "Erf"} <= operators


def test_spelling_out_changes_no_value() -> None:
    ir = pytest.importorskip("onnx_ir")
    from onnx.reference import ReferenceEvaluator

    from depthport.exporters.onnx.targets.portable import spell_out_norms

    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[2,3,5] x) => (float[2,3] norm, float[2,3] twice)
    <int64[1] axes = {-1}> { norm = ReduceL2 <keepdims = 0> (x, axes) twice = Add(norm, norm) }"""
    model = onnx.parser.parse_model(text)
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x})
    spelled = ir.to_proto(spell_out_norms(ir.from_proto(model)))
    onnx.checker.check_model(spelled, full_check=True)
    assert [node.op_type for node in spelled.graph.node] == ["Mul", "ReduceSum", "Sqrt", "Add"]
    for found, right in zip(ReferenceEvaluator(spelled).run(None, {"x": x}), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6)


SCENES = 6
"""Random ones: a wrong selection is right by chance for a third of them. All three views are chosen among these."""

CONVERT_AND_RUN = """
import sys
import numpy as np, MNN
from MNN.tools import mnnconvert
source, folder, names = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
sys.argv = ["mnnconvert", "-f", "ONNX", "--modelFile", source, "--MNNModel", f"{folder}/model.mnn", "--bizCode", "x"]
mnnconvert.main()
network = MNN.nn.load_module_from_file(f"{folder}/model.mnn", ["image"], names)
for index, image in enumerate(np.load(f"{folder}/images.npy")):
    outputs = network.forward([MNN.expr.const(image, list(image.shape), MNN.expr.NCHW)])
    np.savez(f"{folder}/outputs-{index}.npz", **{name: np.array(value.read()) for name, value in zip(names, outputs)})
"""


def test_an_independent_converter_gets_the_cameras_right(exported: Exported, tmp_path: Path) -> None:
    """MNN, whose own convolutions (Winograd, fp32) are good for 1e-4."""
    pytest.importorskip("MNN")
    rng = np.random.default_rng(0)
    images = rng.standard_normal((SCENES, 1, VIEWS, 3, 70, 98)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    expected = [upstream_of(image) for image in images]
    assert {int(right["reference_view"][0]) for right in expected} == {0, 1, 2}
    model = exported("onnx", views=VIEWS).file("model.onnx")
    call = [sys.executable, "-c", CONVERT_AND_RUN, str(model), str(tmp_path), ",".join(expected[0])]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    for index, right in enumerate(expected):
        found = dict(np.load(tmp_path / f"outputs-{index}.npz"))
        assert int(found.pop("reference_view")[0]) == int(right["reference_view"][0])
        for name, value in found.items():
            error = np.linalg.norm(value - right[name]) / np.linalg.norm(right[name])
            assert error <= 1e-3, f"{name}: {error:.1e} relative L2"
