"""A folder full of modules that shadow others does no harm to whoever works in it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import msgspec
import pytest

from depthport.bench.workers.channel import Channel, RequestFailed
from depthport.bench.workers.exporting import Export
from depthport.bench.workers.messages import Hello, Load
from depthport.bench.workers.start import worker_command, worker_environment
from depthport.exporters.core.artifact import Shape
from tests.support.fake_runtime import fake_artifact
from tests.support.paths import ROOT
from tests.support.requests import request_for
from tests.support.shadows import IMPORTED_FIRST, shadowing_modules

WORKERS = ("depthport.bench.workers.worker", "depthport.bench.workers.export_worker")


@pytest.fixture
def shadows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shadowing_modules(tmp_path / "shadows")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.usefixtures("shadows")
@pytest.mark.parametrize("path", [None, "", f"{os.pathsep}", "."])
@pytest.mark.parametrize("module", WORKERS)
def test_workers(module: str, path: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    channel = Channel(worker_command(None, module), worker_environment())
    try:
        if module == WORKERS[0]:
            artifact = fake_artifact(tmp_path / "artifact").path
            load = Load(artifact=str(artifact), inputs=(), runtime="tests.support.fakes:Fake", device="cpu", mode="plain")
            assert channel.request(load, 60).load_s > 0
        else:
            with pytest.raises(RequestFailed) as failed:
                channel.request(Export(request=request_for(Shape(1, 1, 28, 28), "nobody"), store=str(tmp_path)), 60)
            assert "of the working directory" not in str(failed.value)
    finally:
        channel.close(timeout_s=5)


@pytest.mark.usefixtures("shadows")
def test_what_a_worker_starts_is_safe_too() -> None:
    program = "import queue, profile, sys; print(queue.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=worker_environment(), timeout=60
    )
    if sys.version_info >= (3, 11):  # the flag against it is of 3.11
        assert done.returncode == 0, done.stderr


def test_the_command_line_as_a_module(shadows: Path) -> None:
    # What Python itself imports before our first line can't be helped.
    for name in IMPORTED_FIRST:
        next(shadows.glob(f"{name}*")).rename(shadows / f"_{name}")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "depthport", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0 and "Usage" in done.stdout, done.stderr


@pytest.mark.usefixtures("shadows")
def test_another_interpreter_gets_our_package_and_its_own(tmp_path: Path) -> None:
    venv.create(tmp_path / "other", with_pip=False, symlinks=os.name != "nt")
    python = tmp_path / "other" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (site,) = (tmp_path / "other").rglob("site-packages")
    # What a worker of ours imports before any runtime: all of it is depthport's own, none is an extra.
    packages = Path(msgspec.__file__).parent.parent
    for name in ("filelock", "msgspec", "numpy", "numpy.libs", "PIL", "pillow.libs", "psutil", "typing_extensions.py"):
        if (found := packages / name).exists():
            (site / name).symlink_to(found.resolve())
    command = worker_command(str(python), WORKERS[0])
    assert not any("site-packages" in word for word in command[command.index(WORKERS[0]) + 2 :])
    channel = Channel(command, worker_environment())
    try:
        versions = channel.request(Hello(packages=("numpy", "torch")), 60).versions
    finally:
        channel.close(timeout_s=5)
    assert "torch" not in versions and "python" in versions
