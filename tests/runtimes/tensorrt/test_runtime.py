"""The TensorRT adapters as far as they go without a device: what they say, which engine they would load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from depthport.exporters.api import rebuild
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, LoadError, UnavailableError, UnsupportedError
from depthport.exporters.core.nvidia import Gpu as CudaGpu
from depthport.exporters.core.nvidia import cuda_devices
from depthport.exporters.tensorrt.options import options_for
from depthport.exporters.tensorrt.platform import TENSORRT, TENSORRT_RTX, EngineGpu
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.registry import get_runtime
from depthport.runtimes.tensorrt import engine
from depthport.runtimes.tensorrt import runtime as adapter
from depthport.runtimes.tensorrt.engine import find_engine, mismatch_of
from tests.conftest import Exported
from tests.support.tiny import seal

VERSION = "1.7.1.116"
ADA, AMPERE = EngineGpu("NVIDIA RTX 4090", "sm89"), EngineGpu("NVIDIA RTX 3090", "sm86")
no_gpu = pytest.mark.skipif(bool(cuda_devices()), reason="a GPU is here")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """An artifact whose engine has an honest header, and nothing else in it."""
    return engine_artifact(tmp_path / "artifact")


def engine_artifact(folder: Path, **header: Any) -> Artifact:
    folder.mkdir()
    write_engine(folder / "model.engine", **header)
    artifact = seal(folder, "tensorrt-rtx", "fp16")
    target: dict[str, object] = {"package": "TensorRT for RTX", "version": VERSION, "capabilities": ["sm89"], "gpu": None}
    options = options_for("sm89", TENSORRT_RTX).to_json()
    return replace(artifact, manifest=replace(artifact.manifest, target=target, options=options))


def write_engine(path: Path, magic: bytes = b"vtrt", size: int = 4096) -> None:
    header = magic + bytes(12) + (4096).to_bytes(8, "little") + bytes((1, 7, 1, 116))
    path.write_bytes((header + bytes(4096))[:size])


def find(artifact: Artifact) -> Path:
    return find_engine(TENSORRT_RTX, artifact)


@no_gpu
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_without_a_gpu_it_says_so(name: str, artifact: Artifact) -> None:
    runtime = get_runtime(name)
    (device,) = runtime.probe()
    assert not device.available and "no NVIDIA GPU or driver" in (device.unavailable or "")
    assert "pip install" in (device.remedy or "") and [mode.name for mode in device.modes] == ["enqueue", "cuda-graph"]
    manifest = replace(artifact.manifest, format=name)
    with pytest.raises(UnavailableError, match="no NVIDIA GPU or driver"):
        runtime.load(replace(artifact, manifest=manifest), "cuda")
    with pytest.raises(UnsupportedError, match="runs tensorrt"):
        runtime.load(replace(artifact, manifest=replace(manifest, format="onnx")), "cuda")


@no_gpu
def test_the_benchmark_shows_the_cell_with_its_reason() -> None:
    from depthport.bench.plan.request import measure_request
    from depthport.bench.plan.suites import build_cells

    cells = build_cells(measure_request(weights="synthetic:0"))
    for name in ("tensorrt", "tensorrt-rtx"):
        (cell,) = [cell for cell in cells if cell.runtime == name]
        assert "no NVIDIA GPU or driver was found" in (cell.unavailable or "")


@pytest.mark.parametrize(("capability", "complaint"), [("sm90", "does not run on sm90: it has sm75"), ("sm89", None)])
def test_probe_with_a_gpu(capability: str, complaint: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("cuda.bindings.runtime")
    monkeypatch.setattr(adapter, "cuda_devices", lambda: (CudaGpu("A GPU", 1 << 34), CudaGpu("A GPU", 1 << 34)))
    monkeypatch.setattr(adapter, "gpu_here", lambda index: EngineGpu("A GPU", capability))
    devices = get_runtime("tensorrt-rtx").probe()
    assert [device.name for device in devices] == ["cuda", "cuda:1"]
    for device in devices:
        if complaint is None:
            assert device.available and "TensorRT for RTX 1." in device.description
        else:
            assert complaint in (device.unavailable or "") and device.remedy == "use the runtime tensorrt"


def test_an_engine_for_this_gpu_is_taken(artifact: Artifact) -> None:
    assert find(artifact) == artifact.path / "model.engine" and mismatch_of(artifact, VERSION, ADA) is None


@pytest.mark.parametrize(
    ("gpu", "version", "complaint"),
    [
        (AMPERE, VERSION, "the engine is for sm89 and this GPU, NVIDIA RTX 3090, is sm86"),
        (ADA, "1.8.0.1", "was built by TensorRT for RTX 1.7.1.116 and this is 1.8.0.1"),
    ],
)
def test_an_engine_for_something_else_is_refused_in_one_line(
    gpu: EngineGpu, version: str, complaint: str, artifact: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = mismatch_of(artifact, version, gpu)
    assert found is not None and complaint in found.reason and found.here == f"{gpu.name}, {gpu.capability}, {version}"
    monkeypatch.setattr(engine, "this_gpu", lambda index: gpu)
    monkeypatch.setattr(engine, "load_module", lambda package: SimpleNamespace(__version__=version))
    with pytest.raises(LoadError, match=f"{complaint}: export it on this machine") as raised:
        engine.open_engine(TENSORRT_RTX, artifact, LoadOptions(cache_dir=tmp_path), 0)
    assert "\n" not in str(raised.value)


def test_without_the_graph_it_was_built_from_it_can_not_be_rebuilt(artifact: Artifact) -> None:
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("onnxscript")
    before = sorted(artifact.path.parent.iterdir())
    with pytest.raises(ArtifactError, match="is not in the store") as raised:
        rebuild(artifact, "it is for sm89", "sm86")
    assert "\n" not in str(raised.value)
    assert [p for p in sorted(artifact.path.parent.iterdir()) if p.name != ".locks"] == before


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ({"size": 2048}, "truncated or damaged"),
        ({"size": 8}, "too few for"),
        ({"magic": b"ftrt"}, "an engine of TensorRT,"),
    ],
)
def test_a_damaged_engine_is_one_line(header: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    artifact = engine_artifact(tmp_path / "artifact", **header)
    with pytest.raises(ArtifactError, match=complaint) as raised:
        find(artifact)
    assert "\n" not in str(raised.value) and "export it again" in str(raised.value)


def test_one_changed_byte_does_not_reach_tensorrt(artifact: Artifact) -> None:
    path = artifact.path / "model.engine"
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.engine is damaged"):
        find(artifact)


def test_a_missing_engine_is_one_line(artifact: Artifact) -> None:
    (artifact.path / "model.engine").unlink()
    with pytest.raises(ArtifactError, match="is missing: export it again"):
        find(artifact)


@pytest.mark.slow
def test_an_engine_for_another_gpu_is_really_rebuilt(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the ONNX artifact in the store, by the exporter, for the GPU that is here."""
    trt = pytest.importorskip("tensorrt_rtx")
    from depthport.exporters.tensorrt import exporter

    artifact = exported("tensorrt-rtx", precision="fp16", views=3, target="sm86,sm89,sm120")
    ampere = EngineGpu("NVIDIA A100", "sm80")
    monkeypatch.setattr(exporter, "gpu_here", lambda: ampere)
    monkeypatch.setattr(exporter, "_inspect", lambda *arguments: False)  # that would load the engine on the GPU
    found = mismatch_of(artifact, trt.__version__, ampere)
    assert found is not None
    made = rebuild(artifact, found.reason, found.here)
    assert made.origin == "built" and made.artifact.manifest.extra["rebuilt_because"] == found.reason
    assert mismatch_of(made.artifact, trt.__version__, ampere) is None and find(made.artifact).is_file()
    assert rebuild(artifact, found.reason, found.here).origin == "cached"


def test_options_of_the_adapter(monkeypatch: pytest.MonkeyPatch, artifact: Artifact) -> None:
    from depthport.exporters.core.errors import UsageError
    from depthport.runtimes.base import Device

    runtime: Any = get_runtime("tensorrt-rtx")
    available = Device("cuda", "A GPU", (adapter.ENQUEUE, adapter.CUDA_GRAPH))
    monkeypatch.setattr(type(runtime), "probe", lambda self: [available])
    with pytest.raises(UsageError, match="no option 'speed'"):
        runtime.load(artifact, "cuda", LoadOptions(extra={"speed": 1}))
    with pytest.raises(UsageError, match="has no mode 'fast'"):
        runtime.load(artifact, "cuda", LoadOptions(mode="fast"))


def test_both_packages_are_the_exporters_own() -> None:
    assert adapter.TensorRTRuntime.package is TENSORRT and adapter.TensorRTRTXRuntime.package is TENSORRT_RTX
