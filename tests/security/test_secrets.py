"""No secret of the environment and no path of the machine is in any file that is written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from depthport.bench.diagnose.profile import Profile
from depthport.bench.diagnose.profile_picture import write_profile
from depthport.bench.environment.environment import steering_variables
from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import CHECK, PAPER
from depthport.bench.report.write import write_report
from depthport.bench.workers.failure import failure
from depthport.bench.workers.messages import FirstCall
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import LoadError
from depthport.exporters.core.files.atomic import write_json
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.core.text import without_paths
from depthport.runtimes.registry import installed_runtimes
from tests.support.fake_runtime import fake_artifact
from tests.support.requests import plan_of, request_for

SECRET = "s3cr3t"
PLANTED = (
    "NVIDIA_API_KEY", "NVIDIA_TOKEN", "NGC_API_KEY", "CUDA_SECRET", "CUDA_TOKEN", "TORCH_TOKEN", "TORCH_HUB_TOKEN",
    "PYTORCH_API_KEY", "PYTORCH_PASSWORD", "TORCHINDUCTOR_REDIS_PASSWORD", "ORT_KEY", "ORT_ACCESS_TOKEN", "OMP_SECRET",
    "MKL_LICENSE_KEY", "OPENBLAS_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "OPENVINO_TOKEN",
    "DEPTHPORT_TOKEN", "CUBLAS_PASSWORD", "TF32_KEY", "KMP_TOKEN", "GITHUB_TOKEN",
)  # fmt: skip
SHAPE = Shape(1, 2, 14, 28)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for index, name in enumerate(PLANTED):
        monkeypatch.setenv(name, f"{SECRET}-{index}")


@pytest.mark.usefixtures("planted")
def test_every_file_that_is_written(tmp_path: Path) -> None:
    artifact = fake_artifact(tmp_path / "store" / "artifact", SHAPE).path
    cells = tuple(
        CellSpec(
            request_for(SHAPE),
            f"tests.support.fakes:{fake}",
            "cpu",
            "plain",
            baseline=fake == "Fake",
            artifact=str(artifact),
        )
        for fake in ("Fake", "Raiser", "Crasher")
    )
    out = tmp_path / "out"
    protocol = replace(PAPER, warmup_calls=1, timed_calls=2)
    plan = plan_of(cells, load_scenes(SHAPE, sets=2), protocol, parity=False)
    engine.run(plan, out, ArtifactStore(tmp_path / "store"), Observer())
    write_report([out], out)
    untimed = tuple(replace(cell, numerics_only="checked") for cell in cells)
    checked = plan_of(untimed, load_scenes(SHAPE, sets=1), CHECK, parity=False)
    found = engine.run(checked, tmp_path / "check", ArtifactStore(tmp_path / "store"), Observer())
    assert [bool(cell.log) for cell in found.cells] == [False, True, False]
    write_json(out / "self-check.json", found.to_json())
    shown: dict[str, str | int] = {
        "model": "da3-small", "batch": 1, "views": 2, "height": 14, "width": 28, "runtime": "fake", "device": "cpu",
        "mode": "plain", "precision": "fp32", "weights": "synthetic:0",
    }  # fmt: skip
    write_profile(Profile(shown, "a CPU", {}, 1, 1.0, None, 1.0, 1.0, "float32", ()), out / "profile")
    files = [path for folder in (out, artifact) for path in folder.rglob("*") if path.is_file()]
    assert {"results.json", "journal.jsonl", "report.md", "report.html", "self-check.json", "artifact.json",
            "profile.json"} <= {path.name for path in files}  # fmt: skip
    for path in files:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert str(tmp_path).encode() not in content, path
        assert str(Path.home()).encode() + b"/" not in content, path


def test_settings_are_known_by_their_exact_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = steering_variables(
        {**dict.fromkeys(PLANTED, SECRET), "OMP_NUM_THREADS": "2", "OMP_PLACES": "{0:4}", "CUDA_HOME": "/usr/local/cuda",
         "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128", "OPENBLAS_CORETYPE": "/home/x", "MKL_CBWR": "", "USER": "x"}
    )  # fmt: skip
    assert seen == {
        "OMP_NUM_THREADS": "2", "OMP_PLACES": "{0:4}", "OPENBLAS_CORETYPE": "(set)",
        "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128",
    }  # fmt: skip


def test_adapters_name_variables_whole() -> None:
    for runtime in installed_runtimes():
        for name in runtime.variables:
            assert re.fullmatch(r"[A-Z][A-Z0-9]+(_[A-Z0-9]+)+", name), name


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such file: '/home/Jane Doe/photos/x.npz'", "no such file: 'x.npz'"),
        ("/usr/lib/python3.11/x.py:3: error in /opt/site/y.so.1", "x.py:3: error in y.so.1"),
        (r"C:\Users\Jane\model.onnx can't be opened", "model.onnx can't be opened"),
        (r"in 'C:\\Users\\Jane Doe\\model.onnx'", "in 'model.onnx'"),
        ("file:///home/jane/a/b.txt", "b.txt"),
        ("--out=/data/runs/", "--out=runs"),
        ("pytorch/cpu/eager/fp32: 3 img/s, see https://example.org/a/b", None),
        ('run `pip install "depthport[da3]"` (and/or update)', None),
    ],
)
def test_paths_become_names(said: str, shown: str | None) -> None:
    assert without_paths(said) == (said if shown is None else shown)


@pytest.mark.parametrize("error", [LoadError, RuntimeError, OSError])
def test_a_reason_has_no_path(error: type[Exception], tmp_path: Path) -> None:
    reason = failure(error(f"can't read {tmp_path}/deep/er/model.bin\nor {Path.cwd()}/x/y"), FirstCall()).reason
    assert "model.bin" in reason and str(tmp_path) not in reason and str(Path.cwd()) not in reason and "\n" not in reason


def test_the_journal_holds_no_path(tmp_path: Path) -> None:
    from depthport.bench.measure.exports import artifact_ready
    from depthport.bench.results.journal_file import line_of
    from depthport.exporters.core.artifact import Artifact
    from tests.support.manifests import manifest

    artifact = Artifact(tmp_path / "private" / "artifact", manifest(options={"calibration": "/home/jane/photographs"}))
    text = line_of(artifact_ready("a", artifact, "cached")).decode()
    assert "private" not in text and "jane" not in text and "photographs" in text
