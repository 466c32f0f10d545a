"""A wheel of this tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FOLDERS = ("bench", "exporters", "runtimes", "examples", "depthport")


def build_wheel(folder: Path) -> Path:
    """Built in `folder` from a copy: an in-tree build writes beside the sources, where other test processes build too."""
    source = folder / "source"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "records"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    build = subprocess.run([*command, "--wheel-dir", str(folder), str(source)], capture_output=True, text=True, timeout=300)
    if build.returncode != 0 and "setuptools" in build.stderr:
        pytest.skip(f"no setuptools to build with: {build.stderr.splitlines()[-1]}")
    assert build.returncode == 0, build.stderr
    return next(folder.glob("*.whl"))
