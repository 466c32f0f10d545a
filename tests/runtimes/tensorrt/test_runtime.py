"""The TensorRT adapters as far as they go without a device: what they say, which engine they would load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, LoadError, UnavailableError, UnsupportedError
from depthport.exporters.core.nvidia import Gpu as CudaGpu
from depthport.exporters.core.nvidia import cuda_devices
from depthport.exporters.core.sealed import seal_file
from depthport.exporters.tensorrt.options import options_for
from depthport.exporters.tensorrt.platform import TENSORRT, TENSORRT_RTX, Gpu
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.registry import get_runtime
from depthport.runtimes.tensorrt import runtime as adapter
from depthport.runtimes.tensorrt.engine import find_engine
from tests.conftest import Exported
from tests.support.tiny import seal

VERSION = "1.7.1.116"
ADA, AMPERE = Gpu("NVIDIA RTX 4090", "sm89"), Gpu("NVIDIA RTX 3090", "sm86")
no_gpu = pytest.mark.skipif(bool(cuda_devices()), reason="a GPU is here")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """An artifact whose engine has an honest header, and nothing else in it."""
    return engine_artifact(tmp_path / "artifact")


def engine_artifact(folder: Path, **header: Any) -> Artifact:
    folder.mkdir()
    write_engine(folder / "model.engine", **header)
    artifact = seal(folder, "tensorrt-rtx", "fp16")
    target = {"package": "TensorRT for RTX", "version": VERSION, "capabilities": ["sm89"], "gpu": None}
    options = options_for("sm89", TENSORRT_RTX).to_json()
    return replace(artifact, manifest=replace(artifact.manifest, target=target, options=options))


def write_engine(path: Path, magic: bytes = b"vtrt", size: int = 4096) -> None:
    header = magic + bytes(12) + (4096).to_bytes(8, "little") + bytes((1, 7, 1, 116))
    path.write_bytes((header + bytes(4096))[:size])


def find(artifact: Artifact, gpu: Gpu = ADA, version: str = VERSION, rebuild: bool = True) -> Any:
    return find_engine(TENSORRT_RTX, artifact, version, gpu, artifact.path / "cache", rebuild)


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
    monkeypatch.setattr(adapter, "gpu_here", lambda index: Gpu("A GPU", capability))
    devices = get_runtime("tensorrt-rtx").probe()
    assert [device.name for device in devices] == ["cuda", "cuda:1"]
    for device in devices:
        if complaint is None:
            assert device.available and "TensorRT for RTX 1." in device.description
        else:
            assert complaint in (device.unavailable or "") and device.remedy == "use the runtime tensorrt"


def test_an_engine_for_this_gpu_is_taken(artifact: Artifact) -> None:
    found = find(artifact)
    assert found.path == artifact.path / "model.engine" and found.rebuilt is None


@pytest.mark.parametrize(
    ("gpu", "version", "complaint"),
    [
        (AMPERE, VERSION, "the engine is for sm89 and this GPU, NVIDIA RTX 3090, is sm86"),
        (ADA, "1.8.0.1", "was built by TensorRT for RTX 1.7.1.116 and this is 1.8.0.1"),
    ],
)
def test_an_engine_for_something_else_is_refused_in_one_line(
    gpu: Gpu, version: str, complaint: str, artifact: Artifact
) -> None:
    with pytest.raises(LoadError, match=complaint) as raised:
        find(artifact, gpu, version, rebuild=False)
    assert str(raised.value).endswith("export it on this machine")
    # With rebuilding: the graph it came from is not there.
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("onnxscript")
    with pytest.raises(LoadError, match=complaint) as raised:
        find(artifact, gpu, version)
    assert "\n" not in str(raised.value) and "is not in the store" in str(raised.value)
    assert not [path for path in artifact.path.rglob("*") if "engine" in path.name and path.parent != artifact.path]


def test_without_the_exporter_it_is_one_line(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.tensorrt.engine.entry_points", lambda group: {})
    with pytest.raises(LoadError, match="the exporter 'tensorrt-rtx' that could rebuild it is not installed"):
        find(artifact, AMPERE)


def test_an_engine_that_an_earlier_load_rebuilt_is_found(artifact: Artifact) -> None:
    name = f"{artifact.manifest.key[:12]}-NVIDIA_RTX_3090-sm86-{VERSION}.engine"
    kept = artifact.path / "cache" / "tensorrt" / name
    kept.parent.mkdir(parents=True)
    write_engine(kept)
    seal_file(kept)
    found = find(artifact, AMPERE)
    assert found.path == kept and found.kept and "this GPU, NVIDIA RTX 3090, is sm86" in found.rebuilt


@pytest.mark.parametrize(
    ("header", "complaint"),
    [({"size": 2048}, "truncated or damaged"), ({"size": 8}, "no engine"), ({"magic": b"ftrt"}, "an engine of TensorRT,")],
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
def test_an_engine_for_another_gpu_is_really_rebuilt(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the ONNX artifact in the store, by the exporter, for the GPU that is here."""
    trt = pytest.importorskip("tensorrt_rtx")
    from depthport.exporters.tensorrt import exporter
    from depthport.exporters.tensorrt.platform import damage

    artifact = exported("tensorrt-rtx", precision="fp16", views=3, target="sm86,sm89,sm120")
    ampere = Gpu("NVIDIA A100", "sm80")
    monkeypatch.setattr(exporter, "gpu_here", lambda: ampere)
    monkeypatch.setattr(exporter, "_inspect", lambda *arguments: False)  # that would load the engine on the GPU
    found = find_engine(TENSORRT_RTX, artifact, trt.__version__, ampere, tmp_path, True)
    assert found.rebuilt and not found.kept and damage(found.path, TENSORRT_RTX) is None
    assert found.path.parent == tmp_path / "tensorrt" and [p.name for p in found.path.parent.iterdir()] == [found.path.name]
    again = find_engine(TENSORRT_RTX, artifact, trt.__version__, ampere, tmp_path, True)
    assert again.kept and again.path == found.path


def test_options_of_the_adapter(monkeypatch: pytest.MonkeyPatch, artifact: Artifact) -> None:
    from depthport.exporters.core.errors import UsageError
    from depthport.runtimes.base import Device

    runtime: Any = get_runtime("tensorrt-rtx")
    available = Device("cuda", "A GPU", (adapter.ENQUEUE, adapter.CUDA_GRAPH))
    monkeypatch.setattr(type(runtime), "probe", lambda self: [available])
    for extra, complaint in (({"speed": 1}, "no option 'speed'"), ({"rebuild": "no"}, "rebuild is true or false")):
        with pytest.raises(UsageError, match=complaint):
            runtime.load(artifact, "cuda", LoadOptions(extra=extra))
    with pytest.raises(UsageError, match="has no mode 'fast'"):
        runtime.load(artifact, "cuda", LoadOptions(mode="fast"))


def test_both_packages_are_the_exporters_own() -> None:
    assert adapter.TensorRTRuntime.package is TENSORRT and adapter.TensorRTRTXRuntime.package is TENSORRT_RTX
