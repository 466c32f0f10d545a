"""bf16 weights rounded together: the grid, what it saves, and which requests have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.api import prepare
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.quantization.rounding import bfloat16, compensate
from tests.conftest import export_small

torch = pytest.importorskip("torch")


def test_bfloat16_rounds_as_torch_does() -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(4096) * 10.0 ** rng.integers(-20, 20, 4096)).astype(np.float32)
    values = np.concatenate(
        (values, np.array([0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 2**-130], np.float32))
    )  # ties, a subnormal
    np.testing.assert_array_equal(bfloat16(values), torch.from_numpy(values).bfloat16().float().numpy())


def test_what_one_row_loses_the_others_make_good() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((400, 24)) @ rng.standard_normal((24, 160)) + 0.05 * rng.standard_normal((400, 160))
    weight = rng.standard_normal((160, 32)).astype(np.float32)
    found = compensate(weight, inputs.T @ inputs, bfloat16)
    np.testing.assert_array_equal(found, bfloat16(found))
    alone, together = (np.linalg.norm(inputs @ (w - weight)) for w in (bfloat16(weight), found))
    assert together < alone / 2


def test_tokens_count_by_what_the_layer_makes_of_them() -> None:
    """One hidden unit that writes a massive value for a few tokens must not spoil the others' products."""
    from depthport.exporters.quantization.layers import _gram

    rng = np.random.default_rng(2)
    usual = rng.standard_normal((2000, 64)).astype(np.float32)
    usual[:, 0] = 0
    few = usual[:40].copy()
    few[:, 0] = 4
    weight = rng.standard_normal((64, 16)).astype(np.float32)
    weight[0, 3] = 987.0
    x = torch.from_numpy(np.concatenate((usual, few)))
    gram = _gram(x, x @ torch.from_numpy(weight)).numpy()
    held_out = rng.standard_normal((500, 64)).astype(np.float32)
    held_out[:, 0] = 0
    lost = [
        np.linalg.norm(held_out @ (w - weight))
        for w in (
            bfloat16(weight),
            compensate(weight, gram, bfloat16),
            compensate(weight, x.numpy().T @ x.numpy(), bfloat16),
        )
    ]
    assert lost[1] < 1.05 * lost[0]
    assert lost[2] > 1.3 * lost[1], "unweighed, it does"


@pytest.fixture(scope="module")
def artifact(store: ArtifactStore) -> Artifact:
    pytest.importorskip("onnxscript")
    return export_small(store, "onnx", precision="bf16-poses", target="openvino", views=2).artifact


def test_the_file_holds_weights_on_the_grid_and_the_cameras_in_fp32(artifact: Artifact) -> None:
    import onnx_ir as ir

    graph = ir.load(artifact.file("model.onnx")).graph
    dtypes: dict[bool, set[Any]] = {True: set(), False: set()}
    for node in graph:
        weight = node.inputs[1] if node.op_type == "MatMul" else None
        if weight is None or weight.const_value is None:
            continue
        bias = next(iter(node.outputs[0].uses())).node.inputs[1]
        if bias is not None and (bias.name or "").startswith("backbone."):
            dtypes[".camera." in (bias.name or "")].add(weight.dtype)
    assert dtypes == {True: {ir.DataType.FLOAT}, False: {ir.DataType.BFLOAT16}}
    report = artifact.manifest.extra["rounding"]
    assert len([name for name in report["layers"] if name.startswith("backbone.")]) == 48
    assert 0 < report["held_out"]["depth"] < 4e-2
    assert 0 < report["held_out"]["rotation_deg"] < 2


def test_openvino_computes_as_torch_emulates(artifact: Artifact, store: ArtifactStore, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from depthport.bench.inputs.inputs import load_scenes
    from depthport.exporters.quantization.sensitivity import compare
    from depthport.runtimes.base import LoadOptions
    from depthport.runtimes.openvino import OpenVinoRuntime
    from depthport.runtimes.pytorch.runtime import PyTorchRuntime

    exact = export_small(store, "onnx", target="openvino", views=2).artifact
    emulated = export_small(store, "pytorch", precision="bf16-poses", views=2).artifact
    assert emulated.manifest.extra["rounding"]["layers"] == artifact.manifest.extra["rounding"]["layers"]
    image = load_scenes(artifact.manifest.shape, sets=1)[0].arrays()
    found = []
    for runtime, made in ((OpenVinoRuntime(), exact), (OpenVinoRuntime(), artifact), (PyTorchRuntime(), emulated)):
        options = LoadOptions(threads=1, cache_dir=tmp_path, mode="eager" if made is emulated else None)
        with runtime.load(made, "cpu", options) as session:
            session.bind(image)
            session.run()
            session.synchronize()
            found.append(session.outputs())
    for outputs in found[1:]:
        depth, rotation = compare(outputs, found[0])
        assert 1e-4 < depth < 2e-2
        assert 0 < rotation < 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "onnx", "target": "openvino", "dynamic": ("views",)}, "no dynamic"),
        ({"format": "onnx", "target": "openvino", "pose_input": True}, "no pose inputs"),
        ({"format": "onnx"}, "no bf16 convolutions"),
        ({"format": "coreml"}, "no precision 'bf16-poses'"),
        ({"format": "onnx", "target": "openvino", "model": "da3mono-large"}, "one network with poses"),
    ],
)
def test_what_it_is_not_for(changes: dict[str, Any], complaint: str) -> None:
    asked = {"weights": "synthetic:0", "precision": "bf16-poses", "model": "da3-small", **changes}
    from depthport.exporters.api import check_request

    with pytest.raises(UnsupportedError, match=complaint):
        check_request(prepare(asked.pop("model"), **asked))


def test_an_unknown_option_is_named() -> None:
    from depthport.exporters.api import check_request

    request = prepare(
        "da3-small",
        format="onnx",
        target="openvino",
        precision="bf16-poses",
        weights="synthetic:0",
        options={"budget": "1"},
    )
    with pytest.raises(UsageError, match="has no option 'budget'"):
        check_request(request)
