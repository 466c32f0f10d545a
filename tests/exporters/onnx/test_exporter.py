"""What the exporter `onnx` writes, and that its checks catch what they are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.api import prepare
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ExportError, UsageError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.request import ExportRequest
from tests.conftest import export_small

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
torch = pytest.importorskip("torch")
import onnx  # noqa: E402


@pytest.fixture(scope="module")
def artifact(store: ArtifactStore) -> Artifact:
    return export_small(store, "onnx").artifact


@pytest.fixture(scope="module")
def model(artifact: Artifact) -> onnx.ModelProto:
    return onnx.load(artifact.file("model.onnx"))


def request(**changes: Any) -> ExportRequest:
    return prepare(
        **{
            "model": "da3-small",
            "format": "onnx",
            "precision": "fp32",
            "height": 70,
            "width": 98,
            "weights": "synthetic:0",
            **changes,
        }
    )


def test_one_file_that_the_checker_takes(artifact: Artifact) -> None:
    assert [info.path for info in artifact.manifest.files] == ["model.onnx"]
    onnx.checker.check_model(str(artifact.file("model.onnx")), full_check=True)


def test_inputs_and_outputs_are_the_manifests(artifact: Artifact, model: onnx.ModelProto) -> None:
    for values, specs in ((model.graph.input, artifact.manifest.inputs), (model.graph.output, artifact.manifest.outputs)):
        assert [value.name for value in values] == [spec.name for spec in specs]
        for value, spec in zip(values, specs, strict=True):
            tensor = value.type.tensor_type
            assert tuple(dim.dim_value for dim in tensor.shape.dim) == spec.shape
            assert onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name == spec.dtype


def test_every_output_is_computed_by_a_node(model: onnx.ModelProto) -> None:
    """`reference_view` of one view is a constant, which several runtimes refuse as an output."""
    computed = {name for node in model.graph.node for name in node.output}
    assert {value.name for value in model.graph.output} <= computed


def test_standard_operators_of_the_portable_opset(artifact: Artifact, model: onnx.ModelProto) -> None:
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert {node.domain for node in model.graph.node} == {""}
    assert artifact.manifest.options == {"target": "portable", "opset": 18}
    assert artifact.manifest.extra["nodes"] == len(model.graph.node)


def test_the_file_describes_itself(artifact: Artifact, model: onnx.ModelProto) -> None:
    properties = {p.key.removeprefix("depthport."): p.value for p in model.metadata_props}
    assert properties["model"] == "da3-small"
    assert properties["weights"] == "synthetic:0"
    assert properties["weights_sha256"] == artifact.manifest.weights.sha256
    assert properties["licence"] == artifact.manifest.weights.licence
    assert json.loads(properties["precision"])["name"] == "fp32"
    assert list(json.loads(properties["outputs"])) == [spec.name for spec in artifact.manifest.outputs]
    assert json.loads(properties["preprocessing"]) == artifact.manifest.preprocessing
    assert (model.producer_name, model.producer_version) == ("depthport", properties["version"])


def test_no_path_of_this_machine_is_in_it(artifact: Artifact) -> None:
    content = artifact.file("model.onnx").read_bytes()
    for path in (Path.cwd(), Path(torch.__file__).parent.parent, artifact.path.parent):
        assert str(path).encode() not in content


def test_nodes_keep_the_module_they_come_from(model: onnx.ModelProto) -> None:
    scopes = [p.value for node in model.graph.node for p in node.metadata_props]
    assert any("backbone.blocks.0.attn" in scope for scope in scopes)
    assert {p.key for node in model.graph.node for p in node.metadata_props} == {"pkg.torch.onnx.name_scopes"}


def test_weights_over_the_limit_lie_in_a_second_file(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a model of over 2 GB gets, at a limit of a megabyte."""
    import numpy as np
    import onnx_ir

    from depthport.exporters.onnx.check import check_file
    from depthport.exporters.onnx.exporter import DATA_FILE, save

    onnxruntime = pytest.importorskip("onnxruntime")
    save(onnx_ir.load(artifact.file("model.onnx")), tmp_path / "model.onnx", data=DATA_FILE)
    inside, outside = ((tmp_path / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))
    assert inside < 5_000_000 < outside
    check_file(tmp_path / "model.onnx")
    image = np.random.default_rng(0).standard_normal((1, 1, 3, 70, 98)).astype(np.float32)
    results = [
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"image": image})
        for path in (artifact.file("model.onnx"), tmp_path / "model.onnx")
    ]
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_graph_of_another_signature_is_an_export_error(artifact: Artifact) -> None:
    import onnx_ir

    from depthport.exporters.onnx.check import check_signature

    model = onnx_ir.load(artifact.file("model.onnx"))
    check_signature(model, request())
    with pytest.raises(ExportError, match=r"inputs are not those asked for: .*name='image'"):
        check_signature(model, request(height=98, width=70))
    with pytest.raises(ExportError, match="outputs are not those asked for: 5 of 1"):
        check_signature(model, request(outputs=["depth"]))
    model.graph.outputs[0].name = "disparity"
    with pytest.raises(ExportError, match="disparity"):
        check_signature(model, request())


def test_a_broken_file_is_an_export_error(tmp_path: Path) -> None:
    from depthport.exporters.onnx.check import check_file

    path = tmp_path / "model.onnx"
    bad = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["nothing"], ["y"])],
        "broken",
        [],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    path.write_bytes(onnx.helper.make_model(bad).SerializeToString())
    with pytest.raises(ExportError, match=r"onnx\.checker rejects model\.onnx: ") as raised:
        check_file(path)
    assert "\n" not in str(raised.value)


def test_a_failing_converter_is_an_export_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: ArtifactStore
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise torch.onnx.OnnxExporterError("no conversion for aten.magic\n(long explanation)")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ExportError, match=r"torch\.onnx\.export failed on da3-small: no conversion for aten\.magic$"):
        export_small(store, "onnx", weights="synthetic:7")


@pytest.mark.parametrize("name", [None, "portable", "ort-cpu", "ort-cuda"])
def test_targets_choose_the_opset(name: str | None) -> None:
    from depthport.exporters.onnx.exporter import OnnxExporter
    from depthport.exporters.onnx.targets import get_target

    options = OnnxExporter().options(request(target=name))
    assert options == {"target": name or "portable", "opset": get_target(name).opset}
    assert get_target(None).opset == 18, "what every runtime reads"


def test_the_file_declares_the_least(artifact: Artifact, model: onnx.ModelProto) -> None:
    from depthport.exporters.onnx.exporter import OnnxExporter

    assert model.ir_version == artifact.manifest.extra["ir_version"] == 8
    assert artifact.manifest.extra["oldest_onnxruntime"] == "1.14"
    rows = OnnxExporter().declares(artifact.manifest)
    assert ("oldest ONNX Runtime", "1.14") in rows and ("operator sets", "ai.onnx 18") in rows


@pytest.mark.parametrize(
    ("target", "options", "complaint"),
    [
        (None, {"opset": 16}, "option opset of format 'onnx' is a whole number from 17 to 23, not '16'"),
        (None, {"opset": "new"}, "option opset of .* is a whole number from 17 to 23, not 'new'"),
        (None, {"opset": True}, "option opset of .* is a whole number"),
        (None, {"ir_version": 7}, "option ir_version is 7: opset 18 takes 8 to 11"),
        (None, {"opset": 21, "ir_version": 9}, "opset 21 takes 10 to 11"),
        (None, {"speed": 9}, "has no option 'speed'"),
        ("ort-cpu", {"opset": 18}, "this target uses opset 23"),
    ],
    ids=str,
)
def test_versions_that_can_not_be_met_are_one_line(target: str | None, options: dict[str, Any], complaint: str) -> None:
    from depthport.exporters.onnx.exporter import OnnxExporter

    with pytest.raises(UsageError, match=complaint) as raised:
        OnnxExporter().options(request(target=target, options=options))
    assert "\n" not in str(raised.value)


def test_versions_as_asked_for() -> None:
    from depthport.exporters.onnx.exporter import OnnxExporter
    from depthport.exporters.onnx.versions import least_ir, oldest_onnxruntime

    asked = {"opset": 20, "ir_version": 10}
    assert OnnxExporter().options(request(options=asked)) == {"target": "portable", **asked}
    for opset in range(17, 24):
        assert least_ir(opset) == onnx.helper.OP_SET_ID_VERSION_MAP["ai.onnx", opset]
    assert oldest_onnxruntime(18, 8) == "1.14" and oldest_onnxruntime(18, 10) == "1.18"
    assert oldest_onnxruntime(24, 12) is None


def test_unknown_targets_are_usage_errors() -> None:
    from depthport.exporters.onnx.targets import get_target

    with pytest.raises(UsageError, match="choose one of portable, ort-cpu, ort-cuda"):
        get_target("ort-npu")
