"""Runtime `openvino` on the CPU: the contract, and what is decided for OpenVINO instead of by it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, UsageError
from depthport.runtimes.base import Arrays, Device, LoadOptions, Session
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.openvino import DEFAULTS, LATENCY, OpenVinoRuntime, compiled_key
from tests.conftest import Exported
from tests.runtimes.conftest import THREADS
from tests.support.tiny import seal, tiny_onnx

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_onnx(tmp_path_factory.mktemp("tiny"))


def load(artifact: Artifact, cache_dir: Path | None = None, **extra: object) -> Session:
    return OpenVinoRuntime().load(artifact, "cpu", LoadOptions(threads=THREADS, cache_dir=cache_dir, extra=extra))


def infer(session: Session, inputs: Arrays) -> Arrays:
    session.bind(inputs)
    session.run()
    session.synchronize()
    return session.outputs()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Subject, Path], None], artifact: Artifact, tmp_path: Path) -> None:
    options = LoadOptions(threads=THREADS, cache_dir=tmp_path / "cache")
    check(Subject(OpenVinoRuntime(), artifact, options=options), tmp_path)


def test_fp32_is_f32_in_every_kernel(artifact: Artifact, tmp_path: Path) -> None:
    with load(artifact, tmp_path) as session:
        placement = session.placement()
    assert placement.details["inference_precision"] == "f32"
    assert not {"bf16", "f16"} & set(placement.details["precisions"])
    assert placement.details["kernels"]["Convolution"] == 2
    assert placement.details["threads"] == THREADS


def test_agrees_with_onnxruntime(artifact: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from depthport.runtimes.onnxruntime.runtime import OnnxRuntimeRuntime

    inputs = Subject(OpenVinoRuntime(), artifact).inputs(0)
    with (
        load(artifact, tmp_path) as session,
        OnnxRuntimeRuntime().load(artifact, "cpu", LoadOptions(threads=THREADS)) as other,
    ):
        found, expected = infer(session, inputs), infer(other, inputs)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)


def test_the_real_network(exported: Exported, tmp_path: Path) -> None:
    """Attention, rotary embedding, resizes and the pose's arithmetic, against ONNX Runtime."""
    pytest.importorskip("onnxruntime")
    from depthport.runtimes.onnxruntime.runtime import OnnxRuntimeRuntime

    artifact = exported("onnx", views=3)
    inputs = Subject(OpenVinoRuntime(), artifact).inputs(0)
    with (
        load(artifact, tmp_path) as session,
        OnnxRuntimeRuntime().load(artifact, "cpu", LoadOptions(threads=THREADS)) as other,
    ):
        found, expected = infer(session, inputs), infer(other, inputs)
    for name in expected:
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5 * scale)


def test_the_second_load_comes_from_the_cache(artifact: Artifact, tmp_path: Path) -> None:
    states = []
    for _ in range(2):
        with load(artifact, tmp_path) as session:
            states.append(session.placement().details["from_cache"])
    assert states == [False, True]


def test_a_compiled_model_is_of_one_file_device_and_version(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"1")
    cases: list[tuple[str, dict[str, object], str]] = [
        *((device, {}, "1") for device in ("cpu", "gpu", "gpu:1", "npu")),
        ("cpu", {"NUM_STREAMS": 2}, "1"),
        ("cpu", {}, "2"),
    ]
    keys = [compiled_key(model, *case) for case in cases]
    model.write_bytes(b"22")
    keys.append(compiled_key(model, "cpu", {}, "1"))
    assert len(set(keys)) == len(keys)


def test_a_read_only_folder_is_no_obstacle(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.openvino.writable", lambda folder: False)
    with load(artifact, tmp_path / "cache") as session:
        assert infer(session, Subject(OpenVinoRuntime(), artifact).inputs(0))
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_is_no_obstacle(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _data: object) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with OpenVinoRuntime().load(artifact, "cpu", LoadOptions(cache_dir=tmp_path)) as session:
        assert session.placement().details["from_cache"] is False
    assert not list(tmp_path.rglob("*.blob"))


def test_its_own_defaults_are_a_mode_that_decides_nothing_for_it(artifact: Artifact, tmp_path: Path) -> None:
    options = LoadOptions(mode="defaults", threads=1, cache_dir=tmp_path)
    with OpenVinoRuntime().load(artifact, "cpu", options) as session:
        infer(session, Subject(OpenVinoRuntime(), artifact).inputs(0))
        details = session.placement().details
    assert details["inference_precision"] in ("OpenVINO's own: f32", "OpenVINO's own: bf16", "OpenVINO's own: f16")
    assert (details["streams"], details["threads"]) == ("OpenVINO's own: 1", 1)


def test_other_policies_keep_the_types_of_the_graph(artifact: Artifact, tmp_path: Path) -> None:
    manifest = replace(artifact.manifest, precision={"name": "fp16", "backbone": "float16"})
    with load(Artifact(artifact.path, manifest), tmp_path) as session:
        assert session.placement().details["inference_precision"] == "as the graph has it"


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"inference_precision": "f64"}, "inference_precision of openvino is one of f32, bf16, f16"),
        ({"streams": 0}, "streams of openvino is a whole number from 1"),
        ({"properties": 3}, "properties of openvino is a mapping"),
        ({"speed": "fast"}, "no option 'speed'"),
    ],
)
def test_bad_options_are_usage_errors(artifact: Artifact, extra: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        load(artifact, **extra)


def test_an_unknown_property_is_a_load_error(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="NO_SUCH_PROPERTY"):
        load(artifact, tmp_path, properties={"NO_SUCH_PROPERTY": 1})


def test_a_graph_of_another_signature_is_a_load_error(artifact: Artifact, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(artifact.file("model.onnx"))
    for node in model.graph.node:
        node.output[:] = ["range" if name == "depth" else name for name in node.output]
        node.input[:] = ["range" if name == "depth" else name for name in node.input]
    model.graph.output[0].name = "range"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(LoadError, match=r"gives .*'range'.*export it again"):
        load(seal(tmp_path, "onnx"))


def test_a_resize_in_the_graph_is_off_by_single_steps_of_single_pixels(exported: Exported, tmp_path: Path) -> None:
    """A fused multiply-add has no rounding between product and sum, so a pixel in the middle of two steps falls on either
    side. Everything else of the network is as near as without a resize.
    """
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("cv2")
    from openvino import Core

    from depthport.bench.inputs.inputs import load_scenes

    artifact = exported("onnx", source_size=(280, 393))
    (scene,) = load_scenes(artifact.manifest.shape, sets=1, source_size=(280, 393))
    image = scene.arrays(preprocess=True)["image"]
    with load(artifact) as session:
        session.bind({"image": image})
        assert "fused multiply-adds" in str(session.placement().details["resize"])
    model = onnx.load(artifact.file("model.onnx"))
    resized = next(node for node in model.graph.node if node.op_type == "Clip").output[0]
    pixels = tmp_path / "pixels.onnx"
    onnx.save(onnx.utils.Extractor(model).extract_model(["image"], [resized]), pixels)
    expected = ort.InferenceSession(pixels, providers=["CPUExecutionProvider"]).run(None, {"image": image})[0]
    found = Core().compile_model(str(pixels), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([image])[0]
    steps = np.abs(found - expected)
    assert set(np.unique(steps)) <= {0.0, 1.0} and np.mean(steps) <= 1e-3


def test_devices_are_those_openvino_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        available_devices = ("CPU", "GPU.0", "GPU.1", "NPU")

        def get_property(self, device: str, name: str) -> object:
            able = ["FP32", "FP16", "BF16", "INT8"] if device == "CPU" else ["FP32", "FP16", "INT8"]
            return able if name == "OPTIMIZATION_CAPABILITIES" else f"an {device}"

    monkeypatch.setattr("openvino.Core", Core)
    devices = {device.name: device for device in OpenVinoRuntime().probe()}
    assert list(devices) == ["cpu", "gpu", "gpu:1", "npu"]
    assert devices["gpu:1"].description == "an GPU.1"
    assert devices["cpu"].precisions == ("fp32", "bf16-poses", "int8-bf16", "bf16", "int8")
    assert devices["npu"].precisions == ("fp16", "int8")


def test_what_bf16_gains_is_measured_on_a_cpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Device("cpu", "a CPU", (LATENCY,), ("fp32", "int8"))
    assert OpenVinoRuntime().gains(plain) == {}
    (gain,) = OpenVinoRuntime().gains(replace(plain, precisions=("fp32", "bf16-poses"))).values()
    assert gain > 0.1
    monkeypatch.setattr("depthport.runtimes.openvino.bf16_gain", lambda: 0.5)
    assert OpenVinoRuntime().gains(replace(plain, precisions=("fp32", "bf16-poses"))) == {"bf16-poses": 0.5}


def test_its_own_defaults_run_a_plain_file() -> None:
    assert OpenVinoRuntime().target("cpu", DEFAULTS, "fp32") is None
    assert OpenVinoRuntime().target("cpu", LATENCY, "fp32") == "openvino"


def test_probe_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.openvino.find_spec", lambda name: None)
    (device,) = OpenVinoRuntime().probe()
    assert not device.available
    assert device.remedy == 'pip install "depthport[openvino]"'


def test_the_adapter_imports_without_openvino() -> None:
    source = Path(sys.modules[OpenVinoRuntime.__module__].__file__ or "").read_text(encoding="utf-8")
    assert "\nimport openvino" not in source
