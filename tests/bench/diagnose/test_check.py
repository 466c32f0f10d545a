"""An exported artifact is run once against upstream, and what was found stays beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from depthport.bench.diagnose.check import _cell, check, worst_relative_l2
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.cells import CellSpec
from depthport.bench.results.kept_parity import NAME, kept_parity
from depthport.exporters.api import export_request, prepare
from depthport.exporters.core.artifact import MANIFEST, Artifact, Shape
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.request import ExportRequest
from tests.bench.cli.test_cli import depthport

SMALL = MODELS["da3-small"]

SHAPE = Shape(1, 1, 70, 98)


def small(weights: str = "synthetic:0", **changes: str | None) -> ExportRequest:
    arguments = {"format": "onnx", "precision": "fp32", "target": None, **changes}
    return prepare("da3-small", weights=weights, height=SHAPE.height, width=SHAPE.width, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local checkpoint in Hugging Face layout."""
    from safetensors.torch import save_file

    from depthport.exporters.da3.weights import load_state_dict, resolve_weights

    folder = tmp_path_factory.mktemp("weights") / "checkpoint"
    folder.mkdir()
    state = load_state_dict(resolve_weights("synthetic:3", SMALL), SMALL)
    save_file({f"model.{key}": value.clone() for key, value in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    return folder


def test_a_sound_artifact_is_upstream_which_is_kept_beside_it(store: ArtifactStore) -> None:
    request = small()
    artifact = export_request(request, store).artifact
    written = (artifact.path / MANIFEST).read_bytes()
    found = check(request, artifact, store, Observer())
    assert not found.failed and found.problem is None and found.parity is not None
    assert worst_relative_l2(found.parity)[1] < 1e-5
    assert kept_parity(artifact) == {found.cell: found.parity}
    assert (artifact.path / MANIFEST).read_bytes() == written
    artifact.verify()


def test_an_artifact_of_other_weights_fails(store: ArtifactStore, tmp_path: Path) -> None:
    other = export_request(small("synthetic:1"), ArtifactStore(tmp_path)).artifact
    found = check(small(), other, store, Observer())
    assert found.failed and "from upstream fp32" in (found.problem or "")


def test_what_no_runtime_here_takes_is_not_checked_with_the_reason() -> None:
    found = _cell(small(format="tensorrt-rtx", target="sm89"), Artifact(Path(), None))  # type: ignore[arg-type]
    assert isinstance(found, str) and "tensorrt-rtx" in found


@pytest.mark.parametrize(("options", "mode"), [({}, "plain"), ({"ane": True}, "ane"), ({"compress": "int8"}, "plain")])
def test_a_core_ml_package_is_checked_by_the_interpreter_where_there_is_no_mac(options: dict[str, Any], mode: str) -> None:
    asked = replace(small(format="coreml", precision="fp16"), options=options)
    found = _cell(asked, Artifact(Path(), None))  # type: ignore[arg-type]
    assert isinstance(found, CellSpec)
    assert (found.runtime, found.mode) == ("coreml-interpreter", mode) or found.runtime == "coreml"


def test_what_people_would_run_instead_is_not_what_checks_ours() -> None:
    found = _cell(small(target="portable"), Artifact(Path(), None))  # type: ignore[arg-type]
    assert isinstance(found, CellSpec) and found.mode == "portable"
    found = _cell(small(target="ort-cpu"), Artifact(Path(), None))  # type: ignore[arg-type]
    assert isinstance(found, CellSpec) and found.mode == "cpu"


class Said(Observer):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, steps: int | None = None) -> None:
        self.stages.append(name)


def test_its_progress_is_that_of_a_check_and_no_benchmarks(store: ArtifactStore) -> None:
    said = Said()
    check(small(), export_request(small(), store).artifact, store, said)
    assert said.stages == ["computing the reference", "computing outputs", "analysing"]


def test_the_command_checks_weights_from_any_folder(checkpoint: Path, tmp_path: Path) -> None:
    words = ("export", "da3-small", "--size", "70x98", "--weights", str(checkpoint), "--artifacts", str(tmp_path / "store"))
    done = depthport(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "upstream's fp32 to" in done.stderr
    (kept,) = (tmp_path / "store").glob(f"*/{NAME}")
    text = kept.read_text() + kept.with_name(MANIFEST).read_text()
    assert json.loads(kept.read_text())["cells"] and str(checkpoint.parent) not in text
    again = depthport(*words, "--json", cwd=tmp_path)
    assert (
        json.loads(again.stdout)["origin"] == "cached"
        and json.loads(again.stdout)["manifest"]["parity"]
        and "reference" not in again.stderr
    )
