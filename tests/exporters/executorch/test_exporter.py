"""Exporter `executorch`: what it refuses, and that only what was proved, or is said not to be, is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.api import export, prepare
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import DepthportError, ExportError, UnavailableError, UnsupportedError, UsageError
from depthport.exporters.core.isolation import Isolated
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.executorch import exporter
from depthport.exporters.executorch.exporter import ExecuTorchExporter
from depthport.exporters.pytorch.converted import LIMIT, network_outputs
from tests.conftest import Exported
from tests.support.wheel import hide_packages

LOWERING = {
    "backend": "xnnpack", "delegates": 2, "delegated_nodes": 9, "delegated_share": 0.9,
    "other_nodes": {"aten_argmin_default": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind", "complaint"),
    [
        ({"precision": "bf16"}, UnsupportedError, "has no precision 'bf16': use fp32 or fp16"),
        ({"precision": "int8"}, UnsupportedError, r"has no int8: with every linear .* turn by 4.7°.*use fp16"),
        ({"dynamic": ("views",)}, UnsupportedError, "has no dynamic views"),
        ({"target": "tpu"}, UsageError, "has no target 'tpu': choose one of xnnpack, coreml, vulkan"),
        ({"options": {"speed": 1}}, UsageError, "has no option 'speed'"),
    ],
)
def test_what_it_can_not_express_is_refused(changes: dict[str, Any], kind: type[DepthportError], complaint: str) -> None:
    arguments = {"precision": "fp32", "weights": "synthetic:0", **changes}
    request = prepare("da3-small", format="executorch", views=2, height=70, width=98, **arguments)
    with pytest.raises(kind, match=complaint):
        ExecuTorchExporter().options(request)


def test_without_its_packages_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_packages(monkeypatch)
    assert (
        ExecuTorchExporter().probe() == 'torch, executorch, torchao not installed: pip install "depthport[da3,executorch]"'
    )


# --- with a lowering that writes something: what is kept of it


def write(
    folder: Path, monkeypatch: pytest.MonkeyPatch, target: str | None = None, *, right: bool = True, taken: int = 9,
    precision: str = "fp32",
) -> Artifact:  # fmt: skip
    pytest.importorskip("torch")
    expected: dict[str, Any] = {}
    compute = network_outputs

    def record(network: Any, names: Any, inputs: Any) -> Any:
        found = compute(network, names, inputs)
        # The first is the network of the request, whose outputs the file has.
        if not expected:
            expected.update(found)
        return found

    def call(function: Any, arguments: Any, folder: Path, progress: Any, programs: Any) -> Isolated:
        assert programs == ("flatc",)
        if "outputs" in arguments:
            outputs = expected if right else {name: np.ones_like(value) for name, value in expected.items()}
            np.savez(folder / arguments["outputs"], **outputs)
        if function.__name__ == "lower":
            assert (folder / arguments["program"]).stat().st_size > 0
            (folder / arguments["model"]).write_bytes(b"something")
        return Isolated({**LOWERING, "delegated_nodes": taken}, {"network": "none"}, 1.0)

    monkeypatch.setattr(ExecuTorchExporter, "probe", lambda self: None)
    monkeypatch.setattr(exporter, "network_outputs", record)
    monkeypatch.setattr(exporter, "call_isolated", call)
    return export(
        "da3-small", format="executorch", height=70, width=98, weights="synthetic:0", target=target, precision=precision,
        store=ArtifactStore(folder),
    ).artifact  # fmt: skip


def test_a_right_program_is_kept_alone_with_its_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write(tmp_path, monkeypatch).manifest
    assert [info.path for info in manifest.files] == ["model.pte"]
    assert manifest.target == {"backend": "xnnpack"}
    assert manifest.extra["lowering"] == LOWERING and "not_run" not in manifest.extra
    assert set(manifest.extra["checks"]["conversion"]) == {spec.name for spec in manifest.outputs}


def test_a_wrong_program_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match="does not compute the network: depth "):
        write(tmp_path, monkeypatch, right=False)
    assert not list(tmp_path.glob("da3*")) and not list(tmp_path.glob(".partial*"))


def test_half_precision_is_held_to_what_pytorch_loses_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = write(tmp_path, monkeypatch, precision="fp16").manifest.extra["checks"]
    assert set(checks) == {"rounded"} and 1e-5 < checks["rounded"]["depth"] < 1e-2
    with pytest.raises(ExportError, match=r"loses more than its precision does: depth .*export fp32"):
        write(tmp_path / "wrong", monkeypatch, precision="fp16", right=False)


def test_a_backend_that_took_nothing_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match="'vulkan' took over nothing of da3-small"):
        write(tmp_path, monkeypatch, "vulkan", taken=0)


@pytest.mark.parametrize("backend", ["coreml", "vulkan"])
def test_what_can_not_be_run_here_is_checked_in_another_way_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(exporter, "find_spec", lambda name: True)
    artifact = write(tmp_path, monkeypatch, backend)
    assert artifact.manifest.target == {"backend": backend}
    assert set(artifact.manifest.extra["checks"]["conversion"]) == {spec.name for spec in artifact.manifest.outputs}
    declared = ExecuTorchExporter().declares(artifact.manifest)
    assert declared == (("xnnpack", "90.0% of the operators in 2 stretches"), ("not run", exporter.NOT_RUN[backend]))
    outside, checked = ExecuTorchExporter().inspect(artifact)
    assert outside.rows == (("aten_argmin_default", "1"),) and ("depth", "0.0e+00") in checked.rows
    with pytest.raises(ExportError, match="does not compute the network: depth "):
        write(tmp_path / "wrong", monkeypatch, backend, right=False)


def test_core_ml_is_not_lowered_to_where_the_package_can_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"on macOS and on Linux x86-64.*or another target"):
        write(tmp_path, monkeypatch, "coreml")


@pytest.mark.skipif(ExecuTorchExporter().probe() is not None, reason=str(ExecuTorchExporter().probe()))
@pytest.mark.slow
def test_the_real_lowering(exported: Exported) -> None:
    extra = exported("executorch", views=3).manifest.extra
    assert max(extra["checks"]["conversion"].values()) <= LIMIT
    assert extra["lowering"]["delegated_nodes"] > 300
    assert extra["lowering"]["other_nodes"]["aten_native_layer_norm_default"] >= 24
