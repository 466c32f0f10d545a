"""The manifest and what opening a folder says when it is not an artifact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from depthport.exporters.core.artifact import MANIFEST, Artifact, FileInfo, Manifest, load_artifact
from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.core.files.atomic import write_json
from depthport.exporters.core.provenance import file_sha256
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
        (None, "is no artifact"),
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


def test_an_unknown_field_is_damage(tmp_path: Path) -> None:
    data = manifest().to_json()
    with pytest.raises(ArtifactError, match="surprise is not a field"):
        Manifest.from_json({**data, "surprise": 1})


def test_a_manifest_of_before_parity_had_its_own_file_loads() -> None:
    data = manifest().to_json()
    assert Manifest.from_json({**data, "parity": {"a/cpu/default/fp32": {"depth": {"rel_l2": 2e-7}}}}) == manifest()
