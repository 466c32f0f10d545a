"""Runtime `executorch`: the contract on a real `.pte`, and what is decided for ExecuTorch instead of by it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from depthport.exporters.core.artifact import Artifact, TensorSpec
from depthport.exporters.core.errors import LoadError, PlacementError, UsageError
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.executorch import ExecuTorchRuntime
from tests.runtimes.conftest import THREADS
from tests.support.tiny import tiny_executorch
from tests.support.wheel import distribution, hide_packages


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from depthport.exporters.executorch.exporter import ExecuTorchExporter

    if reason := ExecuTorchExporter().probe():
        pytest.skip(reason)
    return tiny_executorch(tmp_path_factory.mktemp("tiny"))


def changed(artifact: Artifact, **changes: object) -> Artifact:
    return Artifact(artifact.path, replace(artifact.manifest, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Subject, Path], None], artifact: Artifact, tmp_path: Path) -> None:
    check(Subject(ExecuTorchRuntime(), artifact, options=LoadOptions(threads=THREADS)), tmp_path)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_pool_has_the_threads_asked_for(artifact: Artifact, threads: int) -> None:
    with ExecuTorchRuntime().load(artifact, "cpu", LoadOptions(threads=threads)) as session:
        assert session.placement().details["threads"] == threads


def test_placement_shows_what_was_delegated(artifact: Artifact) -> None:
    lowering = {"backend": "xnnpack", "delegated_share": 0.75, "other_nodes": {"aten_argmax_default": 10}}
    with ExecuTorchRuntime().load(changed(artifact, extra={"lowering": lowering}), "cpu") as session:
        placement = session.placement()
    assert placement.delegated_share == 0.75
    assert placement.details["other_nodes"] == {"aten_argmax_default": 10}


def test_a_program_of_another_signature_is_a_load_error(artifact: Artifact) -> None:
    outputs = (TensorSpec("depth", (1, 2, 70, 99), "float32"), *artifact.manifest.outputs[1:])
    with pytest.raises(LoadError, match="outputs are not its manifest's: export it again"):
        ExecuTorchRuntime().load(changed(artifact, outputs=outputs), "cpu")


def test_a_program_for_another_backend_is_not_run_here(artifact: Artifact) -> None:
    with pytest.raises(PlacementError, match="lowered to vulkan"):
        ExecuTorchRuntime().load(changed(artifact, target={"backend": "vulkan"}), "cpu")


def test_unknown_options_are_usage_errors(artifact: Artifact) -> None:
    with pytest.raises(UsageError, match="no option 'speed'"):
        ExecuTorchRuntime().load(artifact, "cpu", LoadOptions(extra={"speed": "fast"}))


def test_probe_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_packages(monkeypatch)
    (device,) = ExecuTorchRuntime().probe()
    assert device.unavailable == "torch, executorch not installed"
    assert device.remedy == 'pip install "depthport[da3,executorch]"'


@pytest.mark.parametrize(
    ("version", "tag", "reason", "remedy"),
    [
        ("0.7.0", "", "is too old", 'pip install "executorch<1.6,>=1.5"'),
        ("1.5.1", "cp39-cp39-any", "is built for another Python", 'pip install --force-reinstall "executorch<1.6,>=1.5"'),
    ],
)
def test_probe_with_a_package_that_can_not_serve(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, tag: str, reason: str, remedy: str
) -> None:
    distribution(tmp_path, "executorch", version, tag)
    monkeypatch.syspath_prepend(str(tmp_path))
    (device,) = ExecuTorchRuntime().probe()
    assert f"executorch {version} {reason}" in (device.unavailable or "") and remedy in (device.remedy or "")


def test_the_adapter_imports_without_executorch() -> None:
    source = Path(sys.modules[ExecuTorchRuntime.__module__].__file__ or "").read_text(encoding="utf-8")
    assert "\nimport executorch" not in source and "\nfrom executorch" not in source
