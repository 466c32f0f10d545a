"""What `export`, `inspect` and `list` say of an artifact, and a file under a name of the user's own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from depthport.bench.cli.app import app
from depthport.bench.cli.artifact_view import artifact_table, check_place, copy_to, format_of, main_path, run_lines
from depthport.exporters.core.artifact import Artifact, FileInfo, Shape, load_artifact
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.registry import get_exporter
from tests.conftest import Exported


@pytest.fixture(scope="module")
def artifact(exported: Exported) -> Artifact:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    return exported("onnx", views=2)


def test_the_table_says_what_goes_in_what_comes_out_and_what_loads_it(artifact: Artifact) -> None:
    rows = artifact_table(artifact).rows
    assert ("input", "image  float32 (1, 2, 3, 70, 98)") in rows
    assert ("output", "extrinsics  float32 (1, 2, 3, 4)") in rows
    assert ("format", "onnx, fp32, target portable") in rows
    assert ("operator sets", "ai.onnx 18") in rows and ("oldest ONNX Runtime", "1.14") in rows
    assert {row[0]: row[1] for row in rows}["preprocessing"] == (
        "yours: (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], RGB, channels first"
    )


def test_the_lines_that_run_it(artifact: Artifact) -> None:
    predict, sample = run_lines(artifact)
    assert predict == f"depthport predict {artifact.path} PHOTO PHOTO"
    assert sample == f"depthport sample {artifact.path} --for python"
    batch = replace(artifact, manifest=replace(artifact.manifest, shape=Shape(3, 2, 70, 98)))
    assert run_lines(batch) == (sample,), "predict takes one scene"
    moved = replace(artifact, path=Path("my artifacts") / "a")
    assert run_lines(moved)[0].startswith("depthport predict 'my artifacts/a' ")


def test_inspect_and_list_say_it_too(artifact: Artifact) -> None:
    shown = CliRunner().invoke(app, ["inspect", str(artifact.path)])
    assert shown.exit_code == 0 and "oldest ONNX Runtime" in shown.stdout
    assert shown.stdout.splitlines()[-2:] == list(run_lines(artifact))
    listed = json.loads(CliRunner().invoke(app, ["list", str(artifact.path.parent), "--json"]).stdout)
    assert str(artifact.path) in {row["path"] for row in listed["artifacts"]}
    assert isinstance(CliRunner().invoke(app, ["list", "no/such/folder"]).exception, UsageError)


def test_the_target_is_in_the_folders_name(artifact: Artifact) -> None:
    assert artifact.path.name.startswith("da3-small-onnx-portable-fp32-1x2x70x98-")
    several = replace(artifact.manifest, format="tensorrt-rtx", options={"target": "sm86,sm89"})
    assert "-tensorrt-rtx-sm86+sm89-fp32-" in ArtifactStore("store").folder(several).name
    astray = replace(artifact.manifest, options={"target": "../../elsewhere"})
    assert ArtifactStore("store").folder(astray).parent == ArtifactStore("store").root
    assert "--" not in ArtifactStore("store").folder(replace(artifact.manifest, options={})).name


def test_a_file_of_ones_own_decides_the_format() -> None:
    assert format_of(None, None) == "onnx"
    assert format_of(None, Path("a-folder")) == "onnx"
    assert format_of(None, Path("x/phone.tflite")) == "litert"
    assert format_of("tensorrt", Path("a.engine")) == "tensorrt"
    with pytest.raises(UsageError, match="may be of format tensorrt or tensorrt-rtx: say which"):
        format_of(None, Path("a.engine"))
    with pytest.raises(UsageError, match=r"model.onnx is a file of format onnx, not coreml"):
        format_of("coreml", Path("model.onnx"))


def test_a_folder_of_ones_own_is_a_copy_of_the_artifact(artifact: Artifact, tmp_path: Path) -> None:
    exporter, mine = get_exporter("onnx"), tmp_path / "mine"
    for _ in range(2):  # a second time over the first
        check_place(exporter, mine)
        assert copy_to(artifact, exporter, mine) == mine
    load_artifact(mine).verify()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for taken in (tmp_path / "full", tmp_path / "full" / "notes.txt"):
        with pytest.raises(UsageError, match="is there already"):
            check_place(exporter, taken)
    check_place(exporter, tmp_path / "full" / "model.onnx")


def test_a_file_of_ones_own_is_the_artifacts(artifact: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "mine.onnx"
    for _ in range(2):  # a second time over the first
        get_exporter("onnx").copy_to(artifact, file)
        assert file.read_bytes() == main_path(artifact).read_bytes()
    assert [path.name for path in file.parent.iterdir()] == ["mine.onnx"]


def test_data_beside_the_file_goes_along_under_its_name(artifact: Artifact, tmp_path: Path) -> None:
    onnxruntime, onnx_ir = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx_ir")
    from depthport.exporters.onnx.exporter import DATA_FILE, MODEL_FILE, save

    folder, mine = tmp_path / "stored", tmp_path / "mine"
    folder.mkdir()
    mine.mkdir()
    save(onnx_ir.load(main_path(artifact)), folder / MODEL_FILE, data=DATA_FILE)
    files = tuple(FileInfo(name, 0, "") for name in (MODEL_FILE, DATA_FILE))
    get_exporter("onnx").copy_to(Artifact(folder, replace(artifact.manifest, files=files)), mine / "a.onnx")
    shutil.rmtree(folder)
    assert {path.name for path in mine.iterdir()} == {"a.onnx", "a.onnx.data"}
    onnxruntime.InferenceSession(str(mine / "a.onnx"), providers=["CPUExecutionProvider"])


def test_a_package_is_copied_whole(artifact: Artifact, tmp_path: Path) -> None:
    stored = tmp_path / "stored" / "model.mlpackage"
    stored.mkdir(parents=True)
    (stored / "Manifest.json").write_text("{}")
    get_exporter("coreml").copy_to(Artifact(stored.parent, artifact.manifest), tmp_path / "a.mlpackage")
    assert [path.name for path in (tmp_path / "a.mlpackage").iterdir()] == ["Manifest.json"]
