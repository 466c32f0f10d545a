"""The project's shape, checked on its source: who may import whom, how long a file may be, what may not be left in."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MAX_LINES = 400

# Weights -> exporters -> artifacts -> runtimes -> bench. What each package may import of ours.
ALLOWED = {
    "exporters": ("exporters",),
    # The PyTorch runtime runs upstream itself, the baseline of every ratio; the rest reads artifacts and raises errors.
    "runtimes": (
        "runtimes",
        "depthport.exporters.core.artifact",
        "depthport.exporters.core.errors",
        "depthport.exporters.core.plugins",
        # What goes in: sizes that an artifact leaves open, poses that a camera can have.
        "depthport.exporters.core.open_dims",
        "depthport.exporters.inputs.poses",
        "depthport.exporters.da3.upstream",
        # The operators that a program for NVIDIA GPUs calls: one definition for who writes and who runs it.
        "depthport.exporters.da3.kernels",
        # Numpy that finishes a graph's outputs: what the manifest says is left to the host.
        "depthport.exporters.da3.host",
        # What an engine is bound to: one definition for who builds and who runs it.
        "depthport.exporters.tensorrt.platform",
    ),
    "bench": ("bench", "runtimes", "exporters"),
}
# Not in Python 3.10's standard library.
TOO_NEW = {"tomllib", "enum.StrEnum", "typing.Self", "typing.override", "datetime.UTC", "asyncio.TaskGroup"}


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
    return [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]


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


@pytest.mark.parametrize("package", ALLOWED)
def test_data_goes_one_way(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        for name in imported(path):
            ours = name.split(".")[0] in ALLOWED
            permitted = any(name == prefix or name.startswith(f"{prefix}.") for prefix in ALLOWED[package])
            assert not ours or permitted, f"{names(path)} imports {name}"


def test_files_are_short() -> None:
    # Tables of a test's data may be long; code may not.
    files = [path for path in tracked(".py") if path.name != "fixtures.py"]
    long = {names(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {name: lines for name, lines in long.items() if lines > MAX_LINES}


def test_every_module_says_what_it_is() -> None:
    silent = [names(path) for path in sources() if not ast.get_docstring(tree(path))]
    assert not silent


def test_source_runs_on_python_3_10() -> None:
    for path in tracked(".py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
        assert not TOO_NEW & {part for name in imported(path) for part in (name, name.split(".")[0])}, names(path)


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
