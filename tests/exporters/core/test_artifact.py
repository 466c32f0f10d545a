"""The manifest and what opening a folder says when it is not an artifact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from depthport.exporters.core.artifact import MANIFEST, Artifact, FileInfo, Manifest, load_artifact
from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.core.files.atomic import write_json
from depthport.exporters.core.provenance import file_sha256
from depthport.exporters.core.schema import manifest_schema
from tests.support.manifests import manifest


def seal(folder: Path, content: bytes = b"weights") -> Artifact:
    (folder / "model.bin").write_bytes(content)
    info = FileInfo("model.bin", len(content), file_sha256(folder / "model.bin"))
    artifact = Artifact(folder, manifest(files=(info,)))
    write_json(folder / MANIFEST, artifact.manifest.to_json())
    return artifact


def test_the_manifest_survives_json() -> None:
    before = manifest(files=(FileInfo("a/b", 3, "0" * 64),), dynamic=("views",))
    assert Manifest.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_an_artifact_opens_and_verifies(tmp_path: Path) -> None:
    sealed = seal(tmp_path)
    opened = load_artifact(tmp_path)
    assert opened == sealed
    opened.verify()
    assert opened.file("model.bin").read_bytes() == b"weights"
    assert opened.manifest.size_bytes == 7
    with pytest.raises(ArtifactError, match="has no file 'other'"):
        opened.file("other")


@pytest.mark.parametrize("content", [b"Weights", b"weight", b""])
def test_damage_is_named(tmp_path: Path, content: bytes) -> None:
    artifact = seal(tmp_path)
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.bin is damaged: export it again"):
        artifact.verify()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    artifact = seal(tmp_path)
    (tmp_path / "model.bin").unlink()
    with pytest.raises(ArtifactError, match=r"model\.bin is missing"):
        artifact.verify()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "is not an artifact"),
        (b"", "can't be read"),
        (b"{", "can't be read"),
        (b"\xff\xfe", "can't be read"),
        (b"[]", "has schema 'None'"),
        (b'{"schema": "depthport.artifact/9"}', "this version reads 'depthport.artifact/1'"),
        (b'{"schema": "depthport.artifact/1"}', "is damaged"),
        (b'{"schema": "depthport.artifact/1", "weights": 3}', "is damaged"),
    ],
)
def test_what_is_no_artifact_says_so_in_one_line(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactError, match=complaint) as raised:
        load_artifact(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_field_of_a_later_version_is_left_out() -> None:
    assert Manifest.from_json({**manifest().to_json(), "surprise": 1}) == manifest()


DEPTH = {"name": "depth", "dtype": "float32"}
IMAGE = {"name": "image", "dtype": "float32"}
PIXELS = {"name": "image", "dtype": "uint8"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"shape": {"batch": 1, "views": 3, "height": 70, "width": 98}}, "image is 1x2x3x70x98, a scene of 1x3x70x98 "),
        ({"shape": {"batch": 2, "views": 2, "height": 70, "width": 98}}, "image is 1x2x3x70x98, a scene of 2x2x70x98 "),
        ({"outputs": [{**DEPTH, "shape": [1, 2, 56, 98]}]}, "depth is 1x2x56x98, a scene of 1x2x70x98 makes it 1x2x70x98"),
        ({"outputs": [{**DEPTH, "shape": [1, 2, 70]}]}, "depth is 1x2x70, "),
        ({"outputs": [{**DEPTH, "shape": [1, "views", 70, 98]}]}, "depth is 1xviewsx70x98, "),
        ({"outputs": [{**DEPTH, "shape": [1, "batch", 70, 98]}], "dynamic": ["views"]}, "makes it 1xviewsx70x98"),
        ({"inputs": [{**IMAGE, "shape": [1, 2, 70, 98, 3]}]}, "image is 1x2x70x98x3, "),
        ({"inputs": [{**PIXELS, "shape": [1, 2, 3, 70, 98]}]}, "makes it 1x2x70x98x3"),
        (
            {"inputs": [{**PIXELS, "shape": [1, 2, 70, 98, 3]}], "preprocessing": {"source_size": [480, 640]}},
            "makes it 1x2x480x640x3",
        ),
        ({"inputs": [{**IMAGE, "name": "picture", "shape": [1]}]}, "it has no input image"),
    ],
)
def test_shapes_that_contradict_each_other_are_one_line(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ArtifactError, match=r"contradicts itself \(.*\): export it again") as raised:
        Manifest.from_json({**manifest().to_json(), **changes})
    assert complaint in str(raised.value) and "\n" not in str(raised.value) and raised.value.exit_code == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"dynamic": ["views"], "outputs": [{**DEPTH, "shape": [1, "views", 70, 98]}]},
        {"outputs": [{"name": "somebody's own", "shape": [5], "dtype": "int64"}]},
        {"inputs": [{**PIXELS, "shape": [1, 2, 480, 640, 3]}], "preprocessing": {"source_size": [480, 640]}},
    ],
)
def test_shapes_that_agree_load(changes: dict[str, object]) -> None:
    assert Manifest.from_json({**manifest().to_json(), **changes}).key == manifest().key


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"key": 1}, "key: expected str, got int"),
        ({"weights": None}, "weights: expected object"),
        ({"shape": {"batch": 0, "views": 1, "height": 14, "width": 14}}, "shape.batch: expected int >= 1"),
        ({"shape": {"batch": 2**63, "views": 1, "height": 14, "width": 14}}, "shape.batch: "),
        ({"shape": {"batch": True, "views": 1, "height": 14, "width": 14}}, "shape.batch: expected int, got bool"),
        ({"inputs": [{"name": "x", "shape": ["Views"], "dtype": "float32"}]}, r"inputs\[0\].shape\[0\]: expected str"),
        ({"inputs": [{"name": "x", "shape": [1], "dtype": "complex"}]}, r"inputs\[0\].dtype: invalid enum value"),
        ({"precision": {}}, "precision: object missing required field name"),
        ({"precision": {"name": "x", "head": "int3"}}, "precision.head: invalid enum value"),
        ({"limits": {"views": [1, 2]}}, "expected array of length 3"),
        ({"options": []}, "options: expected object"),
        ({"files": [{"path": "../x", "size_bytes": 1, "sha256": "0"}]}, "outside its folder"),
        ({"files": [{"path": "C:x", "size_bytes": 1, "sha256": "0"}]}, "outside its folder"),
    ],
)
def test_damage_is_one_line_that_names_the_place(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ArtifactError, match=complaint) as raised:
        Manifest.from_json({**manifest().to_json(), **changes})
    assert "\n" not in str(raised.value) and len(str(raised.value)) <= 300


def test_the_schema_is_that_of_what_is_written() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (pip install jsonschema)")
    schema = manifest_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    written = json.loads(json.dumps(manifest(files=(FileInfo("a/b", 3, "0" * 64),)).to_json()))
    jsonschema.validate(written, schema)
    assert schema["$id"] == written["schema"]
    assert schema["properties"]["export_peak_mib"]["description"] == "Peak resident memory of the exporting process."
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "shape": {**written["shape"], "views": 0}}, schema)


def test_a_manifest_of_before_parity_had_its_own_file_loads() -> None:
    data = manifest().to_json()
    assert Manifest.from_json({**data, "parity": {"a/cpu/default/fp32": {"depth": {"rel_l2": 2e-7}}}}) == manifest()


def test_a_file_is_not_an_artifact(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"model\.onnx is not an artifact \(it has no artifact\.json\)"):
        load_artifact(file)
