"""`depthport inspect`: manifest and tables, for people and machines; bad paths are one line."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from depthport.bench.cli.app import app
from depthport.exporters.core.errors import ArtifactError, UsageError

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["inspect", *arguments], catch_exceptions=True)


@needs_torch
def test_any_artifact(exported: Any) -> None:
    artifact = exported("pytorch")
    shown = run(str(artifact.path))
    assert shown.exit_code == 0 and "da3-small" in shown.stdout and "synthetic" in shown.stdout
    data = json.loads(run(str(artifact.path), "--json").stdout)
    assert data["manifest"]["key"] == artifact.manifest.key
    assert data["tables"][0]["title"] == "Artifact"


@pytest.mark.skipif(find_spec("coremltools") is None or find_spec("torch") is None, reason="coremltools is not installed")
def test_core_ml_artifact_and_bare_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.coreml.mini import export_mini, use_mini_network

    use_mini_network(monkeypatch)
    artifact = export_mini(tmp_path, "fp16", views=2).artifact
    titles = [t["title"] for t in json.loads(run(str(artifact.path), "--json").stdout)["tables"]]
    assert titles[:2] == ["Artifact", "Package"] and "Where fp16 leaves" in titles and titles[-1] == "Activation ranges"
    bare = run(str(artifact.path / "model.mlpackage"), "--no-run")
    assert bare.exit_code == 0 and "Neural Engine (predicted)" in bare.stdout
    photograph = tmp_path / "x.png"
    from PIL import Image

    Image.new("RGB", (80, 60), (120, 30, 200)).save(photograph)
    assert run(str(artifact.path), "--images", str(photograph), "--images", str(photograph)).exit_code == 0
    refused = run(str(artifact.path / "model.mlpackage"), "--images", str(photograph))
    assert isinstance(refused.exception, UsageError)
    (artifact.path / "model.mlpackage" / "Manifest.json").write_text("{}", encoding="utf-8")
    assert isinstance(run(str(artifact.path)).exception, ArtifactError)


@pytest.mark.parametrize("name", ["absent", "absent.mlpackage"])
def test_no_artifact(name: str, tmp_path: Path) -> None:
    error = run(str(tmp_path / name)).exception
    assert isinstance(error, ArtifactError) and "\n" not in str(error)
