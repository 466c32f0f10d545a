"""What can't be predicted is one line and exit code 2, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from depthport.bench.cli.app import app
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, DepthportError, LoadError
from depthport.exporters.core.files.locking import exclusive
from depthport.predict.model import Model
from depthport.predict.photographs import load_photographs
from depthport.predict.place import Place
from depthport.runtimes.terms import Mismatch
from tests.conftest import Exported
from tests.support.fake_runtime import Fake, fake_artifact

for _package in ("torch", "onnxscript", "onnxruntime", "depth_anything_3"):
    pytest.importorskip(_package)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: Exported) -> Path:
    """A working directory with a photograph, an artifact of two views, and things that are neither."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    rgb = np.zeros((40, 60, 3), np.uint8)
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(rgb).save(name)
    Path("artifact").symlink_to(exported("onnx", views=2).path)
    Path("empty").mkdir()
    Path("walk.mp4").write_bytes(b"not a video")
    Path("broken.jpg").write_bytes(Path("a.jpg").read_bytes()[:100])
    Path("words.jpg").write_text("no picture")
    Path("here").write_text("a file")
    return tmp_path


WEIGHTS = ("--weights", "synthetic:0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["artifact", "a.jpg"], "the artifact takes 2 photographs"),
        (["artifact", "a.jpg", "b.jpg", "a.jpg"], "the artifact takes 2 photographs"),
        (["no/such/folder", "a.jpg"], "no/such/folder"),
        (["empty", "a.jpg"], "is not an artifact"),
        (["da3-smal", "a.jpg", *WEIGHTS], "did you mean 'da3-small'"),
        (["da3-small", "a.jpg"], "pass --weights synthetic:0"),
        (["da3-small", "no-such.jpg", *WEIGHTS], "no-such.jpg"),
        (["da3-small", "a.jpg", "--write", ",", *WEIGHTS], "names nothing"),
        (["da3-small", "empty", *WEIGHTS], "holds no pictures"),
        (["da3-small", "walk.mp4", *WEIGHTS], "no decodable frames"),
        (["da3-small", "broken.jpg", *WEIGHTS], "broken.jpg"),
        (["da3-small", "words.jpg", *WEIGHTS], "words.jpg"),
        (["da3-small", "a.jpg", *WEIGHTS, "--runtime", "onyxruntime"], "onyxruntime"),
        (["da3-small", "a.jpg", *WEIGHTS, "--runtime", "pytorch", "--device", "tpu"], "tpu"),
        (["da3-small", "a.jpg", *WEIGHTS, "--write", "exr"], "exr"),
        (["da3-small", "a.jpg", *WEIGHTS, "--out", "here"], "is not a folder"),
        (["da3-small", "a.jpg", *WEIGHTS, "--poses", "no-such.npz"], "no-such.npz"),
        (["da3-small", "a.jpg", *WEIGHTS, "--precision", "fp7"], "unknown precision"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_and_nothing_left(folder: Path, words: list[str], said: str) -> None:
    before = sorted(folder.rglob("*"))
    found: Any = CliRunner().invoke(app, ["predict", *words]).exception
    assert isinstance(found, DepthportError), found
    assert found.exit_code == 2 and "\n" not in str(found) and said in str(found)
    assert sorted(folder.rglob("*")) == before


def test_a_manifest_that_is_not_its_files_is_refused(folder: Path) -> None:
    """By the runtime, where the manifest agrees with itself: bad input too."""
    shutil.copytree(Path("artifact"), "other")
    manifest = json.loads(Path("other/artifact.json").read_text())
    text = json.dumps(manifest).replace("70, 98", "84, 98").replace('"height": 70', '"height": 84')
    Path("other/artifact.json").write_text(text)
    for words in (["--runtime", "onnxruntime"], ["--runtime", "openvino"] if find_spec("openvino") else []):
        found: Any = CliRunner().invoke(app, ["predict", "other", "a.jpg", "b.jpg", *words]).exception
        assert isinstance(found, LoadError), found
        assert found.exit_code == 2 and "\n" not in str(found) and "export it again" in str(found)
    assert not Path("prediction").exists()


def test_damaged_weights_are_refused(folder: Path) -> None:
    shutil.copytree(Path("artifact"), "damaged")
    with Path("damaged/model.onnx").open("r+b") as file:
        file.seek(Path("damaged/model.onnx").stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    found: Any = CliRunner().invoke(app, ["predict", "damaged", "a.jpg", "b.jpg"]).exception
    assert isinstance(found, ArtifactError), found
    assert found.exit_code == 2 and "model.onnx is damaged" in str(found)
    assert not Path("prediction").exists()


class Bound(Fake):
    """A runtime whose artifacts run on the GPU they were built for."""

    bound: ClassVar[bool] = True

    def mismatch(self, artifact: Artifact, device: str) -> Mismatch | None:
        return Mismatch("it was built for sm89 and here is sm90", "sm90")


def test_an_artifact_of_another_machines_gpu_is_refused(tmp_path: Path) -> None:
    artifact = fake_artifact(tmp_path)
    runtime = Bound()
    place = Place(runtime, replace(runtime.probe()[0], unavailable=None))
    views = [np.zeros((14, 28, 3), np.uint8)] * 2
    with (
        Model(lambda shape: artifact, place, artifact.manifest.shape, lambda step: None) as model,
        pytest.raises(ArtifactError, match="built for sm89 and here is sm90: export it on this machine") as refusal,
    ):
        model(views)
    assert refusal.value.exit_code == 2


def test_two_predictions_into_one_folder_are_refused(folder: Path) -> None:
    with exclusive(folder / "prediction" / ".lock"):
        done = CliRunner().invoke(app, ["predict", "artifact", "a.jpg", "b.jpg", "--out", "prediction"])
        assert isinstance(done.exception, DepthportError) and "another prediction is being written" in str(done.exception)
    assert not [path for path in (folder / "prediction").iterdir() if path.suffix]


def test_one_photograph_may_be_named_alone(folder: Path) -> None:
    assert [view.size for view in load_photographs(str(folder / "a.jpg"))] == [(60, 40)]
