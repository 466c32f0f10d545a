"""`depthport export` says whether what it made was checked, and its exit code does too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from depthport.bench.cli.app import app
from depthport.bench.diagnose.check import Check
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.store import ArtifactStore

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

SMALL = ["export", "da3-small", "--format", "onnx", "--size", "28x42", "--weights", "synthetic:0"]


def export(*more: str, store: ArtifactStore) -> tuple[int, dict[str, object], str]:
    done = CliRunner().invoke(app, [*SMALL, "--artifacts", str(store.root), "--json", *more])
    return done.exit_code, json.loads(done.stdout or "{}"), done.stderr


def test_a_graph_that_resizes_photographs_is_checked_with_photographs(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("cv2")
    code, found, said = export("--source-size", "50x60", store=ArtifactStore(tmp_path))
    assert (code, found["check"], found["problem"]) == (0, "passed", None), said


def test_what_nothing_here_runs_was_not_checked(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.bench.diagnose.check.survey", lambda: iter(()))
    monkeypatch.setattr("depthport.bench.results.kept_parity.kept_parity", lambda artifact: {})
    code, found, said = export(store=store)
    assert (code, found["check"]) == (1, "not run") and "--no-check exports without" in said
    code, found, said = export("--no-check", store=store)
    assert (code, found["check"]) == (0, "not asked") and "not checked" not in said


def test_what_computes_something_else_is_neither_copied_nor_forgotten(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = Check("a/cpu/b/fp32", {"depth": {"rel_l2": 0.5}}, "depth is 0.5 from upstream fp32")
    monkeypatch.setattr("depthport.bench.diagnose.check.check", lambda *given: wrong)
    monkeypatch.setattr("depthport.bench.results.kept_parity.kept_parity", lambda artifact: {})
    for _ in range(2):
        code, found, said = export("--out", str(tmp_path / "mine.onnx"), store=store)
        assert (code, found["check"]) == (1, "failed") and "does not compute what upstream computes" in said
    assert not list(tmp_path.iterdir())


def test_out_is_a_place_of_ones_own_and_artifacts_the_store(store: ArtifactStore, tmp_path: Path) -> None:
    code, found, said = export("--no-check", "--out", str(tmp_path / "mine"), store=store)
    assert code == 0, said
    assert load_artifact(tmp_path / "mine").manifest.key == load_artifact(Path(str(found["path"]))).manifest.key
    assert Path(str(found["path"])).parent == store.root and found["file"] == str(tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "mine" / "artifact.json").unlink()
    done = CliRunner().invoke(app, [*SMALL, "--artifacts", str(store.root), "--no-check", "--out", str(tmp_path / "mine")])
    assert done.exit_code and "is there already" in str(done.exception)
