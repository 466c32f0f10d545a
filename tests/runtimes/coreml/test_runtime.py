"""Runtime `coreml` without a Mac: everything but Core ML's own calls, for which an interpreter stands in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, RunError, UnavailableError, UsageError
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.coreml.host import complete, extrinsics, intrinsics
from depthport.runtimes.coreml.platform import CoreMLTools, PlannedOperation
from depthport.runtimes.coreml.runtime import UNITS, CoreMLRuntime

needs_converter = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("coremltools") is None, reason="torch or coremltools is not installed"
)


@dataclass
class InterpretedModel:
    """Predicts by interpreting the package."""

    package: Path
    unit: str
    function: str | None

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        from depthport.exporters.coreml.mil.interpreter import Interpreter
        from depthport.exporters.coreml.mil.package import read_package

        package = read_package(self.package)
        function = package.function(self.function)
        arrays = {}
        for feature in package.features[function.name][0]:
            value = inputs[feature.name]
            if feature.kind == "image":
                assert value.mode == "RGB" and value.size == (feature.shape[1], feature.shape[0])
                value = np.asarray(value).transpose(2, 0, 1)[None]
            else:
                assert value.dtype == {"fp16": np.float16, "fp32": np.float32}[feature.dtype]
            arrays[feature.name] = value
        found = Interpreter(function, "declared").run(arrays)
        types = function.types()
        return {n: v.numpy().astype({"int32": np.int32, "fp16": np.float16}.get(types[n].dtype, np.float32))
                for n, v in found.items()}  # fmt: skip


@dataclass
class FakeMac:
    """A Mac with every unit, whose Core ML is the interpreter."""

    compiled: list[Path] = field(default_factory=list)
    loaded: list[tuple[str, str | None]] = field(default_factory=list)
    elsewhere: tuple[str, ...] = ()
    fail: str | None = None

    def unavailable(self) -> tuple[str, str] | None:
        return None

    def system(self) -> str:
        return "macOS-15.5-arm64"

    def devices(self) -> tuple[str, ...]:
        return "cpu", "gpu", "ane"

    def compile(self, package: Path, destination: Path) -> None:
        if self.fail == "compile":
            raise RuntimeError("Error compiling model: unsupported\nmore")
        assert package.is_dir()
        destination.mkdir(parents=True)
        (destination / "origin").write_text(str(package), encoding="utf-8")
        self.compiled.append(destination)

    def load(self, compiled: Path, unit: str, function: str | None) -> InterpretedModel:
        if self.fail == "load":
            raise RuntimeError("Error loading model")
        self.loaded.append((unit, function))
        return InterpretedModel(Path((compiled / "origin").read_text(encoding="utf-8")), unit, function)

    def plan(self, compiled: Path, unit: str, function: str) -> list[PlannedOperation]:
        if self.fail == "plan":
            raise ValueError("MLComputePlan is not supported.")
        home = {"CPU_ONLY": "cpu", "CPU_AND_GPU": "gpu", "CPU_AND_NE": "ane", "ALL": "ane"}[unit]
        names = ["conv", "gelu", "tan", "linear"]
        return [PlannedOperation("const", "const", "none", (), 0.0)] + [
            PlannedOperation(n, f"ios17.{n}", "cpu" if n in self.elsewhere else home, (home,), 0.25) for n in names
        ]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The mini network as an artifact, by kind."""
    from tests.support.coreml.mini import mini_artifacts

    return mini_artifacts(tmp_path_factory.mktemp("coreml"))


def pixels(artifact: Artifact, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    spec = artifact.manifest.inputs[0]
    shape = [int(d) for d in spec.shape]
    if spec.dtype == "uint8":
        return {"image": rng.integers(0, 256, shape, np.uint8)}
    return {"image": rng.standard_normal(shape).astype(np.float32)}


def run(artifact: Artifact, mac: FakeMac, device: str, **options: Any) -> Any:
    session = CoreMLRuntime(mac).load(artifact, device, LoadOptions(**options))
    session.bind(pixels(artifact))
    session.run()
    session.synchronize()
    return session


@needs_converter
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind,device", [("fp32", "cpu"), ("ane", "ane")])
def test_contract(check: Any, kind: str, device: str, artifacts: Any, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    check(Subject(CoreMLRuntime(FakeMac()), artifacts[kind], device, LoadOptions(cache_dir=cache)), tmp_path)


@needs_converter
@pytest.mark.parametrize("device,mode", [(d, m.name) for d, (_, _, modes, _) in UNITS.items() for m in modes])
def test_compute_units(device: str, mode: str, artifacts: Any, tmp_path: Path) -> None:
    mac = FakeMac()
    session = run(artifacts["fp32"], mac, device, mode=mode, cache_dir=tmp_path)
    assert mac.loaded == [(mode, None)]
    assert session.placement().details["compute_unit"] == mode


@needs_converter
@pytest.mark.parametrize("kind", ["fp32", "ane", "images"])
def test_outputs_are_the_networks(kind: str, artifacts: Any, tmp_path: Path) -> None:
    """Whatever the package leaves to the host, the session gives what the network gives."""
    import torch

    from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
    from tests.support.coreml.mini import MiniNetwork

    artifact = artifacts[kind]
    session = run(artifact, FakeMac(), "ane", cache_dir=tmp_path)
    image = pixels(artifact)["image"]
    if image.dtype == np.uint8:
        image = ((image / 255.0 - IMAGENET_MEAN) / IMAGENET_STD).transpose(0, 1, 4, 2, 3).astype(np.float32)
    network = MiniNetwork(artifact.manifest.shape)
    with torch.no_grad():
        expected = dict(zip(network.output_names, network(torch.from_numpy(image)), strict=True))
    limit = 1e-5 if kind == "fp32" else 3e-3
    for name, found in session.outputs().items():
        assert float(np.abs(found - expected[name].numpy()).max()) <= limit * float(expected[name].abs().max()), name


@needs_converter
def test_the_compiled_model_is_kept(artifacts: Any, tmp_path: Path) -> None:
    mac = FakeMac()
    first, second = (run(artifacts["fp32"], mac, "cpu", cache_dir=tmp_path).placement().details for _ in range(2))
    assert len(mac.compiled) == 1
    assert first["compiled_model"] == "compiled by this load"
    assert second["compiled_model"] == "kept from an earlier load"
    assert {"compile_s", "specialise_s"} <= set(first)
    kept = list((tmp_path / "coreml").iterdir())
    assert len(kept) == 1 and kept[0].name.endswith("-macOS-15.5-arm64")
    assert (kept[0] / "model.mlmodelc").is_dir()


@needs_converter
def test_a_compiled_model_that_changed_on_disk_is_compiled_anew(artifacts: Any, tmp_path: Path) -> None:
    mac = FakeMac()
    run(artifacts["fp32"], mac, "cpu", cache_dir=tmp_path)
    (compiled,) = (path for path in tmp_path.rglob("*.mlmodelc/*") if path.is_file())
    compiled.write_bytes(b"another")
    details = run(artifacts["fp32"], mac, "cpu", cache_dir=tmp_path).placement().details
    assert details["compiled_model"] == "compiled by this load"
    assert len(mac.compiled) == 2


@needs_converter
def test_a_failed_compilation_leaves_nothing(artifacts: Any, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"can't compile model\.mlpackage: Error compiling") as caught:
        run(artifacts["fp32"], FakeMac(fail="compile"), "cpu", cache_dir=tmp_path)
    assert "\n" not in str(caught.value) and not list((tmp_path / "coreml").iterdir())
    with pytest.raises(LoadError, match="can't load"):
        run(artifacts["fp32"], FakeMac(fail="load"), "cpu", cache_dir=tmp_path)


@needs_converter
def test_placement_is_the_plan(artifacts: Any, tmp_path: Path) -> None:
    placement = run(artifacts["ane"], FakeMac(elsewhere=("tan",)), "ane", cache_dir=tmp_path).placement()
    assert placement.fallback == ("1 tan on cpu",)
    assert placement.delegated_share == 0.75
    assert placement.details["operations"] == {"ane": 3, "cpu": 1}
    assert placement.details["switches"] == 2
    assert placement.details["plan"] == {"conv": "ane", "gelu": "ane", "tan": "cpu", "linear": "ane"}
    assert not run(artifacts["ane"], FakeMac(), "ane", cache_dir=tmp_path).placement().fallback


@needs_converter
def test_without_a_plan_the_session_says_so(artifacts: Any, tmp_path: Path) -> None:
    placement = run(artifacts["fp32"], FakeMac(fail="plan"), "cpu", cache_dir=tmp_path).placement()
    assert "macOS 14.4" in placement.details["plan"] and placement.delegated_share is None


@needs_converter
def test_functions(artifacts: Any, tmp_path: Path) -> None:
    mac = FakeMac()
    run(artifacts["functions"], mac, "cpu", cache_dir=tmp_path)
    run(artifacts["functions"], mac, "cpu", cache_dir=tmp_path, extra={"function": "main"})
    assert mac.loaded == [("CPU_ONLY", "main")] * 2
    with pytest.raises(UsageError, match="no function 'other': choose one of main, b1_n2_28x42"):
        run(artifacts["functions"], mac, "cpu", cache_dir=tmp_path, extra={"function": "other"})


@needs_converter
def test_misuse(artifacts: Any, tmp_path: Path) -> None:
    artifact = artifacts["fp32"]
    with pytest.raises(UsageError, match="no device 'cuda'"):
        run(artifact, FakeMac(), "cuda")
    with pytest.raises(UsageError, match="no mode 'CPU_AND_NE' on cpu"):
        run(artifact, FakeMac(), "cpu", mode="CPU_AND_NE")
    with pytest.raises(UsageError, match="no option 'threads'"):
        run(artifact, FakeMac(), "cpu", extra={"threads": 1})
    session = run(artifact, FakeMac(), "cpu", cache_dir=tmp_path)
    session._model = replace(session._model, function="gone")
    with pytest.raises(RunError, match="Core ML failed on CPU_ONLY"):
        session._model.predict = _fails
        session.run()


def _fails(inputs: Any) -> Any:
    raise RuntimeError("prediction failed")


@pytest.mark.skipif(sys.platform == "darwin", reason="off macOS only")
def test_unavailable_off_macos_with_the_reason() -> None:
    devices = CoreMLRuntime().probe()
    assert [d.name for d in devices] == ["cpu", "mps", "ane"]
    assert all(d.unavailable == "Core ML runs on macOS only" and "Mac" in str(d.remedy) for d in devices)
    assert CoreMLTools().unavailable() is not None


@needs_converter
@pytest.mark.skipif(sys.platform == "darwin", reason="off macOS only")
def test_loading_off_macos_is_one_line(artifacts: Any) -> None:
    with pytest.raises(UnavailableError, match="macOS only") as caught:
        CoreMLRuntime().load(artifacts["fp32"], "ane")
    assert "\n" not in str(caught.value)


def test_a_missing_unit_is_said() -> None:
    mac = FakeMac()
    mac.devices = lambda: ("cpu", "gpu")  # type: ignore[method-assign]
    by_name = {d.name: d for d in CoreMLRuntime(mac).probe()}
    assert by_name["cpu"].available and by_name["mps"].available
    assert "no ane" in str(by_name["ane"].unavailable)


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_host_pose_is_the_networks() -> None:
    import torch

    from depthport.exporters.da3.static.camera import PoseMatrices

    encoding = np.random.default_rng(3).standard_normal((2, 3, 9)).astype(np.float32)
    encoding[..., 7:] = np.abs(encoding[..., 7:]) + 0.2
    expected = PoseMatrices((504, 672))(torch.from_numpy(encoding))
    np.testing.assert_allclose(extrinsics(encoding), expected[0].numpy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(intrinsics(encoding, (504, 672)), expected[1].numpy(), rtol=1e-6)


def test_host_rounds_nothing_and_adds_constants() -> None:
    from depthport.exporters.core.artifact import TensorSpec

    specs = [TensorSpec("depth", (1, 1, 2, 2), "float32"), TensorSpec("reference_view", (1,), "int64")]
    found = complete({"depth": np.ones((1, 1, 2, 2), np.float16)}, specs, (2, 2))
    assert found["depth"].dtype == np.float32 and found["reference_view"].tolist() == [0]
    assert found["reference_view"].dtype == np.int64
