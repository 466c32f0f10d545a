"""Requests, keys and errors of `depthport.exporters.export`, without building anything."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import depthport
from depthport.exporters import api
from depthport.exporters.base import ExportResult
from depthport.exporters.core import provenance
from depthport.exporters.core.artifact import MANIFEST, Artifact, Shape
from depthport.exporters.core.errors import DepthportError, UnavailableError, UnsupportedError, UsageError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.weights_ref import WeightsRef
from depthport.exporters.registry import get_exporter
from tests.support.fake_runtime import fake_artifact

pytest.importorskip("torch")

REQUEST: dict[str, Any] = {
    "model": "da3-small",
    "format": "onnx",
    "precision": "fp32",
    "views": 2,
    "height": 70,
    "width": 98,
    "weights": "synthetic:0",
}


def key(**changes: Any) -> str:
    request = api.prepare(**{**REQUEST, **changes})
    return api.describe(request, get_exporter(request.format)).key


def test_the_key_is_the_same_every_time() -> None:
    assert key() == key()
    assert key(target=None) == key(target="portable"), "a default spelled out is the same artifact"
    assert key(outputs=["intrinsics", "depth"]) == key(outputs=["depth", "intrinsics"])


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "da3-base"},
        {"format": "pytorch"},
        {"precision": "fp16"},
        {"batch": 2, "views": 1},
        {"views": 3},
        {"height": 98, "width": 70},
        {"weights": "synthetic:1"},
        {"weights": "synthetic:0,outliers"},
        {"outputs": ["depth"]},
        {"target": "ort-cpu"},
        {"dynamic": ("views",)},
        {"dynamic": ("views", "size")},
        {"pose_input": True},
        {"preprocess": True},
        {"source_size": (140, 196)},
    ],
    ids=str,
)
def test_every_input_changes_the_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_the_licence_of_one_source_is_not_that_of_another() -> None:
    """The same bytes from a copy and from the hub: what is stored names its own source and licence."""
    copy, hub = (
        WeightsRef(id, "0" * 64, synthetic=False, licence=licence, path="model.safetensors")
        for id, licence in (("copy", "as of copy"), ("depth-anything/DA3-SMALL", "Apache-2.0"))
    )
    assert key(weights=copy) != key(weights=hub) == key(weights=replace(hub, path="elsewhere.safetensors"))


def test_versions_and_source_change_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    versions = provenance.package_versions
    monkeypatch.setattr(api, "package_versions", lambda names: {**versions(names), "torch": "9.9"})
    newer = key()
    monkeypatch.setattr(api, "source_digest", lambda *modules: "f" * 64)
    assert len({before, newer, key()}) == 3


def test_the_versions_that_matter_are_recorded() -> None:
    request = api.prepare(**REQUEST)
    versions = api.describe(request, get_exporter("onnx")).versions
    assert {"python", "torch", "onnx", "onnxscript", "depth-anything-3", "numpy"} <= set(versions)


@pytest.mark.parametrize(
    ("changes", "kind", "complaint"),
    [
        ({"model": "da3-tiny"}, UsageError, "unknown model 'da3-tiny'.* choose one of da3-small"),
        ({"format": "gguf"}, UsageError, "unknown format 'gguf': choose one of .*onnx, pytorch"),
        ({"precision": "fp12"}, UsageError, "unknown precision 'fp12'.* choose one of auto, fp32"),
        ({"width": 100}, UsageError, "100"),
        ({"views": 0}, UsageError, "view"),
        ({"batch": 0}, UsageError, "batch|scene"),
        ({"outputs": ["normals"]}, UsageError, "has no output normals"),
        ({"weights": "synthetic:x"}, UsageError, "malformed"),
        ({"target": "sm89"}, UsageError, "no target 'sm89': choose one of portable, ort-cpu, ort-cuda"),
        ({"format": "pytorch", "target": "sm89"}, UsageError, "runs? on every device"),
        ({"options": {"speed": 9}}, UsageError, "has no option 'speed'"),
        ({"format": "pytorch", "options": {"speed": 9}}, UsageError, "has no option 'speed'"),
        ({"dynamic": ("frames",)}, UsageError, "unknown dimension 'frames': --dynamic takes views, size, batch"),
        ({"format": "pytorch", "dynamic": ("views",)}, UnsupportedError, "has no dynamic views"),
        ({"format": "coreml", "pose_input": True}, UnsupportedError, "pose input"),
        ({"model": "da3mono-large", "pose_input": True}, UsageError, "takes no poses"),
        ({"dynamic": ("size",), "source_size": (100, 100)}, UsageError, "a graph with open size can't resize"),
        (
            {"format": "pytorch", "target": "cuda", "precision": "bf16", "pose_input": True},
            UnsupportedError,
            "no pose inputs",
        ),
        ({"format": "pytorch", "precision": "int8"}, UnsupportedError, "has no precision 'int8'"),
        ({"precision": "fp8"}, UnsupportedError, "has no precision 'fp8'"),
        ({"precision": "int8", "dynamic": ("views",)}, UnsupportedError, "has no dynamic views in precision 'int8'"),
        (
            {"target": "openvino", "precision": "bf16-poses", "dynamic": ("views",)},
            UnsupportedError,
            "has no dynamic views in precision 'bf16-poses'",
        ),
        ({"precision": "int8", "options": {"calibration": "nowhere"}}, UsageError, "neither a file nor a folder"),
        ({"format": "pytorch", "precision": "fp8"}, UnsupportedError, "has no precision 'fp8'"),
    ],
    ids=str,
)
def test_bad_requests_are_one_line_and_exit_code_2(
    changes: dict[str, Any], kind: type[DepthportError], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=complaint) as raised:
        request = api.prepare(**{**REQUEST, **changes})
        api.export_request(request, ArtifactStore(tmp_path / "store"))
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2
    assert not (tmp_path / "store").exists(), "nothing was begun"


@pytest.mark.parametrize("format", ["pytorch", "onnx"])
def test_a_missing_package_is_unavailable_with_its_remedy(
    format: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(f"depthport.exporters.{format}.exporter.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match='not installed: pip install "depthport'):
        api.export_request(api.prepare(**{**REQUEST, "format": format}), ArtifactStore(tmp_path / "store"))


def test_every_typed_error_has_an_exit_code() -> None:
    kinds: list[type[DepthportError]] = [DepthportError, *DepthportError.__subclasses__()]
    # 75 asks for another try (sysexits.h: EX_TEMPFAIL): what a machine of a fleet says to its scheduler.
    assert {kind.exit_code for kind in kinds} <= {1, 2, 75, 130}


def test_a_request_is_the_same_in_another_process() -> None:
    request = api.prepare(**REQUEST, source_size=(140, 196), options={"a": [1, None]})
    again = msgspec.json.decode(msgspec.json.encode(request), type=ExportRequest)
    assert again == request and again.host_steps == request.host_steps


@pytest.mark.parametrize("call", [depthport.run, depthport.plan, functools.partial(depthport.export, format="onnx")])
@pytest.mark.parametrize(("wrong", "right"), [("view", "views"), ("weigths", "weights"), ("dinamic", "dynamic")])
def test_a_wrong_keyword_names_the_nearest_right_one(call: Callable[..., object], wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=rf"takes no keyword '{wrong}': did you mean '{right}'\?"):
        call("da3-small", **{wrong: 1})
    with pytest.raises(TypeError, match=r"takes no keyword 'zzzz': choose from .*views"):
        call("da3-small", zzzz=1)


class _Rebuilder:
    """An exporter of artifacts that are bound to a machine."""

    format, packages = "fake", ()

    def probe(self) -> None:
        return None

    def rebuild(self, artifact: Artifact, directory: Path, progress: Callable[[str], None]) -> ExportResult:
        (directory / "engine").write_bytes(b"new")
        return ExportResult(extra={"layers": 3}, target={"gpu": "this one"})


def test_a_rebuild_lies_beside_what_it_was_made_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    artifact = fake_artifact(tmp_path / "store" / "foreign", Shape(1, 1, 14, 14))
    before = (artifact.path / MANIFEST).read_bytes()
    monkeypatch.setattr(api, "get_exporter", lambda name: _Rebuilder())
    made = api.rebuild(artifact, "it is for another GPU", "this GPU")
    assert made.origin == "built" and made.artifact.path.parent == artifact.path.parent
    manifest = made.artifact.manifest
    assert manifest.target == {"gpu": "this one"} and [file.path for file in manifest.files] == ["engine"]
    assert manifest.extra["rebuilt_from"] == artifact.manifest.key and manifest.extra["layers"] == 3
    assert manifest.extra["rebuilt_because"] == "it is for another GPU" and manifest.shape == artifact.manifest.shape
    assert api.rebuild(artifact, "it is for another GPU", "this GPU").origin == "cached"
    assert api.rebuild(artifact, "it is for another GPU", "a third GPU").origin == "built"
    assert (artifact.path / MANIFEST).read_bytes() == before
