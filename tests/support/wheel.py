"""A wheel of this tree, and what pip leaves of any."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from depthport.exporters.core import usable
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


def distribution(site: Path, name: str, version: str, tag: str = "", files: Mapping[str, str] | None = None) -> None:
    """The metadata of a distribution, and files of it, in the folder `site`.

    Args:
        site: on the import path, or to be put there.
        name, version: its own.
        tag: of its wheel (`cp311-cp311-win_amd64`); empty: it came from no wheel.
        files: texts by path inside `site`, which its record lists; None: an empty module of its name.
    """
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    files = {f"{name.replace('-', '_')}/__init__.py": ""} if files is None else files
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files), encoding="utf-8")
    if tag:
        (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n", encoding="utf-8")
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")


def hide_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed, as far as :mod:`depthport.exporters.core.usable` sees."""
    monkeypatch.setattr(usable, "find_spec", lambda name: None)
