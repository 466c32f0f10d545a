"""Exporter `litert`: what it refuses, what it writes, and that nothing wrong is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.api import export, prepare
from depthport.exporters.core.errors import DepthportError, ExportError, UnsupportedError, UsageError
from depthport.exporters.core.isolation import Isolated
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.litert.exporter import MODEL_FILE, LiteRTExporter
from depthport.exporters.pytorch.converted import LIMIT, errors, network_outputs, require_network
from depthport.runtimes.base import Arrays
from tests.conftest import Exported
from tests.support.wheel import hide_packages

needs_litert = pytest.mark.skipif(LiteRTExporter().probe() is not None, reason=str(LiteRTExporter().probe()))


def request(**changes: Any) -> Any:
    arguments = {"precision": "fp32", "weights": "synthetic:0", **changes}
    return prepare("da3-small", format="litert", views=2, height=70, width=98, **arguments)


@pytest.mark.parametrize(
    ("changes", "kind", "complaint"),
    [
        ({"precision": "bf16"}, UnsupportedError, "has no precision 'bf16': use fp32, fp16 or int8"),
        ({"precision": "fp8"}, UnsupportedError, "has no precision 'fp8'"),
        ({"dynamic": ("views",)}, UnsupportedError, "has no dynamic views"),
        ({"preprocess": True}, UnsupportedError, "has no preprocessing"),
        ({"target": "phone"}, UsageError, "has no target 'phone'"),
        ({"options": {"speed": 1}}, UsageError, "has no option 'speed'"),
        ({"precision": "int8", "options": {"mix": "most"}}, UsageError, "mix of .* is one of"),
    ],
)
def test_what_it_can_not_express_is_refused(changes: dict[str, Any], kind: type[DepthportError], complaint: str) -> None:
    with pytest.raises(kind, match=complaint):
        LiteRTExporter().options(request(**changes))


def test_without_its_packages_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_packages(monkeypatch)
    assert LiteRTExporter().probe() == (
        "torch, litert-torch, litert-converter, ai-edge-litert, ai-edge-quantizer not installed: "
        'pip install "depthport[da3,litert]"'
    )


@needs_litert
def test_one_named_signature_proved_to_be_the_network(exported: Exported) -> None:
    from ai_edge_litert.interpreter import Interpreter

    artifact = exported("litert", views=3)
    assert [info.path for info in artifact.manifest.files] == [MODEL_FILE]
    extra = artifact.manifest.extra
    assert set(extra["checks"]["conversion"]) == {spec.name for spec in artifact.manifest.outputs}
    assert max(extra["checks"]["conversion"].values()) <= LIMIT
    assert extra["converter"]["programs"] == []
    (signature,) = Interpreter(str(artifact.file(MODEL_FILE))).get_signature_list().values()
    assert signature["inputs"] == ["image"]
    assert sorted(signature["outputs"]) == sorted(spec.name for spec in artifact.manifest.outputs)


def test_a_wrong_conversion_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter that writes something, of the right shapes and wrong values."""
    pytest.importorskip("torch")
    import depthport.exporters.litert.exporter as exporter

    shapes: dict[str, Any] = {}

    def expected(network: Any, names: Any, inputs: Any) -> Any:
        return shapes.setdefault("outputs", network_outputs(network, names, inputs))

    def convert(function: Any, arguments: Any, folder: Path, *more: Any) -> Isolated:
        (folder / arguments["model"]).write_bytes(b"something")
        if function.__name__ == "run":
            ones = {name: np.ones_like(value) for name, value in shapes["outputs"].items()}
            np.savez(folder / arguments["outputs"], **ones)
        return Isolated(None, {"network": "none"}, None)

    monkeypatch.setattr(LiteRTExporter, "probe", lambda self: None)
    monkeypatch.setattr(exporter, "call_isolated", convert)
    monkeypatch.setattr(exporter, "network_outputs", expected)
    with pytest.raises(ExportError, match="does not compute the network: depth "):
        export("da3-small", format="litert", height=70, width=98, weights="synthetic:0", store=ArtifactStore(tmp_path))
    assert not list(tmp_path.glob("da3*")) and not list(tmp_path.glob(".partial*"))


@needs_litert
@pytest.mark.slow
@pytest.mark.parametrize(("precision", "share", "depth"), [("fp16", 0.55, 2e-3), ("int8", 0.75, 2e-2)])
def test_lower_precisions_are_smaller_and_close(exported: Exported, precision: str, share: float, depth: float) -> None:
    exact, small = exported("litert", views=3), exported("litert", views=3, precision=precision)
    assert small.manifest.size_bytes <= share * exact.manifest.size_bytes
    assert small.manifest.extra["checks"]["rounded"]["depth"] <= depth
    ((name, said),) = LiteRTExporter().declares(small.manifest)
    assert name == ("int8" if precision == "int8" else "arithmetic") and said
    if precision == "int8":
        assert small.manifest.extra["quantization"]["held_out"]["rotation_deg"] <= 0.4


# --- the gate


def test_the_gate_holds_every_output_to_its_limit() -> None:
    expected: Arrays = {"depth": np.ones(4, np.float32), "extrinsics": np.eye(3), "reference_view": np.array([1])}
    assert require_network(expected, expected) == {"depth": 0.0, "extrinsics": 0.0, "reference_view": 0.0}
    for name, value in {"extrinsics": np.eye(3)[::-1], "reference_view": np.array([0])}.items():
        with pytest.raises(ExportError, match=f"does not compute the network: {name} "):
            require_network({**expected, name: value}, expected)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ({}, "output depth is missing"),
        ({"depth": np.ones(3)}, r"output depth has shape \(3,\)"),
        ({"depth": np.array([1, np.nan, 1, 1])}, "depth is not finite"),
    ],
)
def test_errors_need_outputs_to_compare(found: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ExportError, match=complaint):
        errors(found, {"depth": np.ones(4)})


def test_every_precision_it_lists_is_a_policy() -> None:
    base = request()
    for name in ("fp32", "fp16"):
        from depthport.exporters.core.precision import POLICIES

        assert LiteRTExporter().options(replace(base, policy=POLICIES[name])) == {"target": None}
