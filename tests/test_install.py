"""The wheel as an installer takes it: one top-level package, all its files, other projects' names left alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FOLDERS = ("bench", "exporters", "runtimes")
# Whatever another distribution puts beside ours under these names (frappe-bench, exporters), it is not imported.
STRANGER = "raise RuntimeError('a package of another project was imported')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    # A copy: an in-tree build writes beside the sources, where other test processes build too.
    for name in (*FOLDERS, "depthport"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "records"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    build = subprocess.run([*command, "--wheel-dir", str(folder), str(source)], capture_output=True, text=True, timeout=300)
    if build.returncode != 0 and "setuptools" in build.stderr:
        pytest.skip(f"no setuptools to build with: {build.stderr.splitlines()[-1]}")
    assert build.returncode == 0, build.stderr
    return next(folder.glob("*.whl"))


def test_a_wheel_has_one_package_and_every_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in found} == {"depthport"}
    suffixes = (".py", ".cu", ".json", ".html", ".css", ".js", ".woff2")
    expected = {
        f"depthport/{path.relative_to(ROOT).as_posix()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and path.relative_to(ROOT).parts[:2] != ("bench", "records")
    }
    assert not expected - found
    assert "depthport/py.typed" in found


@pytest.mark.parametrize("ours_first", [True, False])
def test_packages_of_the_same_names_beside_ours_do_no_harm(wheel: Path, tmp_path: Path, ours_first: bool) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(ours)
    for name in FOLDERS:
        (theirs / name).mkdir(parents=True)
        (theirs / name / "__init__.py").write_text(STRANGER)
    first, second = (ours, theirs) if ours_first else (theirs, ours)
    program = (
        f"import sys; sys.path[:0] = [{str(first)!r}, {str(second)!r}]; sys.argv[1:] = ['--help']\n"
        "import depthport; print(depthport.__file__)\n"
        "from depthport.bench.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(ours)) and "Usage" in done.stdout
