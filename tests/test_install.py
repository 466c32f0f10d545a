"""The wheel as an installer takes it: one top-level package, all its files, other projects' names left alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.wheel import build_wheel

FOLDERS = ("bench", "exporters", "runtimes")
# Whatever another distribution puts beside ours under these names (frappe-bench, exporters), it is not imported.
STRANGER = "raise RuntimeError('a package of another project was imported')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


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
