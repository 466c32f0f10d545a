"""`doctor --install`: what is missing, the commands that bring it, and that nothing runs unasked."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from typer.testing import CliRunner

from depthport.bench.cli.app import app
from depthport.bench.diagnose import missing as module
from depthport.bench.diagnose.missing import missing
from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError, UsageError

HERE = {"depthport": "0.1.0", "torch": "2.13.0+cpu", "opencv-python-headless": "4.9"}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with a torch that will do, an OpenCV that is too old, and nothing else."""
    monkeypatch.setattr(module, "_installed", lambda: HERE)
    monkeypatch.setattr(module, "cuda_devices", lambda: [])


def commands(monkeypatch: pytest.MonkeyPatch, code: int = 0) -> list[list[str]]:
    ran: list[list[str]] = []

    def run(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_what_is_missing_is_named_and_upstream_comes_last(bare: None) -> None:
    found = missing(["da3", "predict"])
    assert found.extras == ("da3", "predict")
    assert not any(package.startswith("torch") for package in found.packages), "it is here and new enough"
    assert any(package.startswith("opencv-python-headless>=") for package in found.packages), "it is too old"
    assert found.packages[-1] == "depth-anything-3"
    assert found.lines == (install.extras("da3", "predict"), install.DA3_PACKAGE)


def test_without_names_it_is_what_a_run_takes(bare: None) -> None:
    assert set(module.BASIS) <= set(missing().extras)


def test_nothing_missing_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_requirements", lambda extra: ())
    monkeypatch.setattr(module, "_installed", lambda: {"depth-anything-3": "0.1.1"})
    assert missing(["da3"]).lines == ()


def test_a_gpus_build_of_onnx_runtime_replaces_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cuda_devices", lambda: ["a GPU"])
    monkeypatch.setattr(module, "_installed", lambda: {**HERE, "onnxruntime": "1.32.0"})
    found = missing()
    assert install.ONNXRUNTIME_GPU in found.lines and "onnxruntime" in install.ONNXRUNTIME_GPU.replaces
    assert not any("cuda" in text for line in found.lines for text in line.requirements if text.startswith("depthport"))
    monkeypatch.setattr(module, "_installed", lambda: {**HERE, "onnxruntime-gpu": "1.32.0", "cuda-bindings": "13.0"})
    assert not any(package.startswith("onnxruntime") for package in missing().packages), "the plain one would overwrite it"


def test_an_extra_without_packages_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_requirements", lambda extra: ())
    found = missing(["coreml"])
    assert found.lines == () and found.notes == ("coreml has no packages for this system and Python",)


def test_an_unknown_extra_is_named() -> None:
    with pytest.raises(UsageError, match=r"unknown extra 'onyx'.*did you mean 'onnx'"):
        missing(["onyx"])


def test_torch_without_a_gpu_says_how_to_get_the_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_installed", dict)
    monkeypatch.setattr(module, "cuda_devices", lambda: [])
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert str(install.TORCH_CPU) in missing(["da3"]).notes[0]


@pytest.mark.parametrize(
    ("words", "runs"), [([], False), (["--json"], False), (["--json", "--yes"], True), (["--yes"], True)]
)
def test_it_runs_only_where_the_user_says_so(
    bare: None, monkeypatch: pytest.MonkeyPatch, words: list[str], runs: bool
) -> None:
    ran = commands(monkeypatch)
    done = CliRunner().invoke(app, ["doctor", "--install", "da3", *words])
    assert done.exit_code == 0 and "depthport[da3]" in done.output
    assert [command[-1] for command in ran] == (["depthport[da3]", "depth-anything-3==0.1.1"] if runs else [])


def test_a_failed_installation_is_an_error(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(monkeypatch, code=1)
    done = CliRunner().invoke(app, ["doctor", "--install", "da3", "--yes"])
    assert isinstance(done.exception, UnavailableError) and 'pip install "depthport[da3]"' in str(done.exception)


def test_extras_without_install_are_refused() -> None:
    assert isinstance(CliRunner().invoke(app, ["doctor", "onnx"]).exception, UsageError)
