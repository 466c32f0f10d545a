"""The project's shape, checked on its source: sizes of files and folders, what may not be left in.

Who may import whom is import-linter's (pyproject.toml).
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FOLDERS = ("exporters", "runtimes", "bench")
MAX_LINES = 300
MAX_MODULES = 20

# Not in Python 3.10's standard library.
TOO_NEW = {"tomllib", "enum.StrEnum", "typing.Self", "typing.override", "datetime.UTC", "asyncio.TaskGroup"}
# From 3.12 on its `isinstance` no longer sees what `nn.Module` finds in `__getattr__`.
UNLIKE = {"typing.runtime_checkable"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def tracked(*suffixes: str) -> list[Path]:
    """The project's files: those git has or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    return [ROOT / line for line in listing.splitlines() if line.endswith(suffixes) and (ROOT / line).is_file()]


def sources() -> list[Path]:
    return [path for package in FOLDERS for path in sorted((ROOT / package).rglob("*.py"))]


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def imported(path: Path) -> frozenset[str]:
    """Everything a file imports, at any depth, by dotted name (`from a import b` gives `a.b`)."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{names(path)} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@pytest.mark.parametrize("suffix", [".py", ".cu"])
def test_files_are_short(suffix: str) -> None:
    # A table may be long; code may not.
    long = {names(path): lines for path in tracked(suffix) if (lines := len(path.read_bytes().splitlines())) > MAX_LINES}
    assert not long


def test_folders_are_small() -> None:
    counts = Counter(names(path.parent) for path in tracked(".py"))
    assert not {folder: count for folder, count in counts.items() if count > MAX_MODULES}


def test_links_and_packages_agree() -> None:
    # What type checkers, editors and pytest read (links) is what an installer takes (setup.py).
    links = {path.name: path.resolve() for path in (ROOT / "depthport").iterdir() if path.is_symlink()}
    assert links == {folder: ROOT / folder for folder in (*FOLDERS, "examples")}
    assert f"FOLDERS = {FOLDERS}".replace("'", '"') in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_every_module_says_what_it_is() -> None:
    silent = [names(path) for path in sources() if not ast.get_docstring(tree(path))]
    assert not silent


def test_source_means_the_same_from_python_3_10_on() -> None:
    for path in tracked(".py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
        assert not (TOO_NEW | UNLIKE) & {part for name in imported(path) for part in (name, name.split(".")[0])}, names(
            path
        )


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("TO" + "DO|FIX" + r"ME|\bX" + r"XX\b|raise Not" + r"Implemented" + "Error", id="unfinished"),
        pytest.param(r"(?<![\w.])/(work|root|tmp|mnt|Users)/\w", id="machine paths"),
        pytest.param(r"except\s*:", id="bare except"),
        pytest.param(r"\bpickle\.loads?\b|allow_pickle=" + r"True|load\(.*weights_only=" + "False", id="pickle"),
    ],
)
def test_nothing_is_left_in(pattern: str) -> None:
    found = [
        f"{names(path)}:{number}"
        for path in tracked(".py", ".md", ".toml", ".txt", "Makefile", "run", ".html", ".css", ".js")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found
