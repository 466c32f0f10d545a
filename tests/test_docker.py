"""The Dockerfile's build, as far as it runs without Docker: what is copied builds a wheel, and pip takes its lines."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from depthport.bench.diagnose.missing import BASIS
from depthport.exporters.core import install
from tests.support.paths import ROOT
from tests.support.wheel import FOLDERS, build_wheel

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = [shlex.split(line) for line in re.findall(r"^RUN (pip install .*)$", TEXT, re.MULTILINE)]


def test_it_installs_what_a_run_takes_and_upstream_as_ours_is_installed() -> None:
    torch, ours, upstream = ([word for word in line if word != "--no-cache-dir"] for line in LINES)
    assert torch[-1] == install.TORCH_CPU.index
    assert ours[-1] == f".[{','.join(BASIS)}]"
    assert shlex.join(upstream) == str(install.DA3_PACKAGE)


def test_what_is_copied_is_what_the_wheel_is_built_from(tmp_path: Path) -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == {*FOLDERS, "constraints.txt", "LICENSE", "pyproject.toml", "README.md", "setup.py"}
    assert build_wheel(tmp_path).is_file()


def test_its_python_is_one_that_is_supported() -> None:
    version = re.search(r"^FROM python:(\d+)\.(\d+)-slim$", TEXT, re.MULTILINE)
    assert version is not None and (3, 10) <= (int(version[1]), int(version[2])) <= (3, 13)


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES[1:], ids=lambda line: line[-1])
def test_pip_resolves_its_lines(line: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", *line[2:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
