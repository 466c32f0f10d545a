"""Runtime `coreai`: the contract over the wheel's runtime, executed; what a Mac adds, on a platform that plays one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, LoadError, RunError, UnavailableError
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.coreai.runtime import CoreAIRuntime
from tests.conftest import Exported
from tests.support.tiny import seal, tiny_coreai

executed = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("torch", "coreai", "coreai_torch")),
    reason='torch, coreai-core or coreai-torch not installed: pip install "depthport[da3,coreai]"',
)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_coreai(tmp_path_factory.mktemp("tiny"))


def infer(session: Any, inputs: Any) -> Any:
    session.bind(inputs)
    session.run()
    session.synchronize()
    return session.outputs()


@executed
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Subject, Path], None], artifact: Artifact, tmp_path: Path) -> None:
    check(Subject(CoreAIRuntime(), artifact, options=LoadOptions(cache_dir=tmp_path / "cache")), tmp_path)


@executed
def test_agrees_with_torch(artifact: Artifact) -> None:
    import torch

    from tests.support.tiny import tiny_network

    inputs = Subject(CoreAIRuntime(), artifact).inputs(0)
    with CoreAIRuntime().load(artifact, "cpu") as session:
        found = infer(session, inputs)
    expected = tiny_network()(torch.from_numpy(inputs["image"]))
    for array, tensor in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(array, tensor.numpy(), rtol=1e-5, atol=1e-6)


@executed
def test_the_real_network(exported: Exported) -> None:
    """Three views: attention, rotary embedding, reference-view selection, resizes and the poses' arithmetic."""
    from depthport.exporters.coreai.verify import distance
    from depthport.runtimes.pytorch.runtime import PyTorchRuntime

    artifact = exported("coreai", views=3)
    inputs = Subject(CoreAIRuntime(), artifact).inputs(0)
    with CoreAIRuntime().load(artifact, "cpu") as session:
        found = infer(session, inputs)
    with PyTorchRuntime().load(exported("pytorch", views=3), "cpu", LoadOptions(threads=1)) as other:
        expected = infer(other, inputs)
    assert {name: distance(found[name], expected[name]) <= 1e-5 for name in expected} == dict.fromkeys(expected, True)


@executed
def test_on_this_machine_it_is_for_numbers_only() -> None:
    import sys

    if sys.platform == "darwin":
        pytest.skip("a Mac may have the system's runtime")
    cpu, *others = CoreAIRuntime().probe()
    assert cpu.available and "not how fast" in str(cpu.numerics_only)
    assert [(d.name, d.available) for d in others] == [("mps", False), ("ane", False)]
    assert all("macOS 27" in str(d.unavailable) for d in others)


@executed
def test_the_compiled_form_is_kept_and_bound_to_the_version(artifact: Artifact, tmp_path: Path) -> None:
    from depthport.exporters.core.provenance import package_version

    states = []
    for _ in range(2):
        with CoreAIRuntime().load(artifact, "cpu", LoadOptions(cache_dir=tmp_path)) as session:
            states.append(session.placement().details["compiled_asset"])
    assert states == ["compiled by this load", "kept from an earlier load"]
    (kept,) = (tmp_path / "coreai").iterdir()
    assert str(package_version("coreai-core")) in kept.name


@executed
def test_an_asset_of_another_signature_is_a_load_error(artifact: Artifact, tmp_path: Path) -> None:
    manifest = artifact.manifest
    renamed = replace(manifest, outputs=(replace(manifest.outputs[0], file_name="range"), *manifest.outputs[1:]))
    with pytest.raises(LoadError, match=r"the asset takes image and gives depth, .*'?range.*: export it again"):
        CoreAIRuntime().load(Artifact(artifact.path, renamed), "cpu", LoadOptions(cache_dir=tmp_path))


@executed
@pytest.mark.parametrize("content", [b"", b"\x00" * 4096, None], ids=["empty", "zeros", "later bytecode"])
def test_a_program_of_another_version_is_one_line(content: bytes | None, artifact: Artifact, tmp_path: Path) -> None:
    """Its manifest agrees with the file: written by a version that this one can't read."""
    source = artifact.path / "model.aimodel"
    target = tmp_path / "made" / "model.aimodel"
    target.mkdir(parents=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    program = bytearray((source / "main.mlirb").read_bytes())
    # The version follows the four bytes that name the format.
    program[4] = 0x7F
    (target / "main.mlirb").write_bytes(bytes(program) if content is None else content)
    other = seal(tmp_path / "made", "coreai", extra=artifact.manifest.extra)
    with pytest.raises((ArtifactError, LoadError), match=r"export it again|can't load") as caught:
        CoreAIRuntime().load(other, "cpu", LoadOptions(cache_dir=tmp_path / "cache"))
    assert "\n" not in str(caught.value)


@executed
def test_another_event_loop_is_no_obstacle(artifact: Artifact, tmp_path: Path) -> None:
    import asyncio

    async def inside() -> Any:
        with CoreAIRuntime().load(artifact, "cpu", LoadOptions(cache_dir=tmp_path)) as session:
            return infer(session, Subject(CoreAIRuntime(), artifact).inputs(0))

    assert set(asyncio.run(inside())) == {"depth", "intrinsics", "reference_view"}


class FakeProgram:
    """Answers at once with zeros, or fails."""

    def __init__(self, artifact: Artifact, fault: Exception | None = None) -> None:
        self.manifest, self.fault, self.closed = artifact.manifest, fault, False
        self.inputs = tuple(spec.native_name for spec in self.manifest.inputs)
        self.outputs = tuple(spec.native_name for spec in self.manifest.outputs)

    def start(self, inputs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.fault is not None:
            future.set_exception(self.fault)
        else:
            future.set_result({s.native_name: np.zeros(s.shape, np.float32) for s in self.manifest.outputs})
        return future

    def close(self) -> None:
        self.closed = True


class FakeMac:
    """A Mac with macOS 27, or without."""

    def __init__(
        self, artifact: Artifact, native: bool = True, units: tuple[str, ...] = ("cpu", "gpu", "neural_engine")
    ) -> None:
        self.program, self._native, self._units = FakeProgram(artifact), native, units
        self.loaded: list[tuple[str, str]] = []

    def unavailable(self) -> tuple[str, str] | None:
        return None

    def native(self) -> bool:
        return self._native

    def no_units(self) -> tuple[str, str]:
        return "Core AI is part of macOS 27, this is macOS 26.1", "update to macOS 27"

    def units(self) -> tuple[str, ...]:
        return self._units

    def system(self) -> str:
        return "1-darwin-arm64"

    def compile(self, asset: Path, destination: Path) -> None:
        destination.mkdir()

    def load(self, path: Path, unit: str) -> Any:
        self.loaded.append((path.suffix, unit))
        return self.program


@pytest.fixture
def sealed(tmp_path: Path) -> Artifact:
    (tmp_path / "model.aimodel").mkdir()
    (tmp_path / "model.aimodel" / "main.mlirb").write_bytes(b"a program")
    return seal(tmp_path, "coreai", extra={"asset": "model.aimodel"})


def test_a_mac_has_a_mode_for_each_unit_and_nothing_is_numerics_only(sealed: Artifact) -> None:
    devices = CoreAIRuntime(FakeMac(sealed)).probe()
    assert [(d.name, d.modes[0].name, d.available) for d in devices] == [
        ("cpu", "cpu", True),
        ("mps", "gpu", True),
        ("ane", "neural-engine", True),
    ]
    assert not any(d.numerics_only for d in devices)


@pytest.mark.parametrize(("device", "unit"), [("cpu", "cpu"), ("mps", "gpu"), ("ane", "neural_engine")])
def test_the_system_is_given_the_asset_and_the_unit(device: str, unit: str, sealed: Artifact) -> None:
    mac = FakeMac(sealed)
    with CoreAIRuntime(mac).load(sealed, device) as session:
        assert set(infer(session, Subject(CoreAIRuntime(), sealed).inputs(0))) == {"depth", "intrinsics", "reference_view"}
        details = session.placement().details
    assert mac.loaded == [(".aimodel", unit)] and mac.program.closed
    assert details["executed_by"] == "the system" and {"compile_s", "specialise_s"} <= set(details)


def test_a_mac_without_a_neural_engine(sealed: Artifact) -> None:
    runtime = CoreAIRuntime(FakeMac(sealed, units=("cpu", "gpu")))
    with pytest.raises(UnavailableError, match="coreai on ane: this Mac has no neural engine for Core AI"):
        runtime.load(sealed, "ane")


def test_a_system_too_old_says_which_it_is(sealed: Artifact) -> None:
    runtime = CoreAIRuntime(FakeMac(sealed, native=False))
    with pytest.raises(UnavailableError, match=r"part of macOS 27, this is macOS 26\.1: update to macOS 27"):
        runtime.load(sealed, "mps")
    assert runtime.device("cpu").numerics_only is not None


def test_what_the_runtime_raises_is_a_run_error(sealed: Artifact) -> None:
    mac = FakeMac(sealed)
    mac.program.fault = RuntimeError("the unit is on fire\nstack")
    with CoreAIRuntime(mac).load(sealed, "mps") as session:
        session.bind(Subject(CoreAIRuntime(), sealed).inputs(0))
        session.run()
        with pytest.raises(RunError, match=r"Core AI failed on mps: the unit is on fire$"):
            session.synchronize()


def test_without_the_package_every_device_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.coreai.platform.find_spec", lambda name: None)
    devices = CoreAIRuntime().probe()
    assert {d.remedy for d in devices} == {'pip install "depthport[coreai]" (Python 3.11 or newer)'}
