"""With only the core dependencies installed, everything that needs no framework works.

The subprocesses below see the standard library, this project and the closure of its core dependencies
(`pyproject.toml`, without extras); every other package is absent, as if it had never been installed. A module may need
more only if it says so: it imports a framework at its top level and is imported lazily by others.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGE = "depthport"

BARE = """
import json, sys
from importlib.machinery import PathFinder
allowed = set(json.loads(sys.argv.pop(1)))
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target)
        # A package's own modules go with it; what lies outside site-packages is the standard library or ours.
        installed = spec is not None and "-packages" in str(spec.origin or list(spec.submodule_search_locations or ""))
        return None if path is None and installed and name not in allowed else spec
sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
"""


@cache
def core_modules() -> frozenset[str]:
    """Top-level modules of the standard library, this project and its core dependencies' closure."""
    wanted, seen = ["depthport"], set()
    while wanted:
        name = _canonical(wanted.pop())
        if name in seen:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        seen.add(name)
        wanted += [re.split(r"[\s<>=!~;\[(]", line)[0] for line in requirements if "extra ==" not in line]
    provided = {
        module
        for module, distributions in metadata.packages_distributions().items()
        if seen & {_canonical(distribution) for distribution in distributions}
    }
    return frozenset(provided | set(sys.stdlib_module_names) | {PACKAGE})


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bare(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code where only the core dependencies exist."""
    return subprocess.run(
        [sys.executable, "-c", BARE + program, json.dumps(sorted(core_modules())), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )


def modules() -> list[str]:
    """Every module of the package, by its dotted name."""
    rooms = [path for path in (ROOT / PACKAGE).iterdir() if path.is_dir()]
    paths = [*(ROOT / PACKAGE).glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    paths = [path for path in paths if (path.parent / "__init__.py").is_file()]
    dotted = (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths)
    return sorted(name for name in dotted if not name.endswith(".__main__"))


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports at its top level, unconditionally."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return frozenset(_imported(ast.parse(path.read_text(encoding="utf-8"))))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def framework_side() -> frozenset[str]:
    """Modules that import a package beyond the core at their top level, or another such module, or lie in one."""
    every = modules()
    found = {m for m in every if any(name.split(".")[0] not in core_modules() for name in imports(m))}
    # Importing a module imports the packages it is in.
    while more := {m for m in every if m not in found and (imports(m) & found or m.rpartition(".")[0] in found)}:
        found |= more
    return frozenset(found)


def plugin_modules() -> set[str]:
    """The modules of this project's own entry points."""
    points = metadata.entry_points(group="depthport.exporters"), metadata.entry_points(group="depthport.runtimes")
    return {point.module for group in points for point in group if point.module.split(".")[0] == PACKAGE}


def test_frameworks_are_really_absent() -> None:
    done = bare("import torch")
    assert done.returncode == 1 and "No module named 'torch'" in done.stderr
    assert not {"torch", "onnxruntime", "cv2", "skimage", "depth_anything_3", "matplotlib"} & core_modules()
    assert {"numpy", "PIL", "typer", "rich", "psutil", "json"} <= core_modules()


def test_every_module_imports_except_those_of_a_framework() -> None:
    program = """
import importlib
failed = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps(failed))
"""
    done = bare(program, *modules())
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout.splitlines()[-1])
    assert set(failed) <= framework_side(), {k: v for k, v in failed.items() if k not in framework_side()}


def test_no_framework_at_the_top_of_the_command_line_or_an_adapter() -> None:
    light = {m for m in modules() if m.startswith("depthport.bench.")} | plugin_modules()
    light |= {
        "depthport.exporters",
        "depthport.exporters.api",
        "depthport.exporters.core.artifact",
        "depthport.runtimes",
        "depthport.runtimes.base",
    }
    assert plugin_modules(), "no entry point is installed: pip install -e ."
    assert not light & framework_side()


COMMANDS = [
    "doctor", "run", "export", "check", "bench", "profile", "max-batch", "report", "compare", "choose", "reproduce",
    "fleet", "predict", "inspect", "list", "sample",
]  # fmt: skip


def test_help_needs_no_framework() -> None:
    program = """
from depthport.bench.cli.app import main
for command in json.loads(sys.argv.pop(1)):
    sys.argv[1:] = [*command.split(), "--help"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
"""
    done = bare(program, json.dumps(["", *COMMANDS]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage") == 1 + len(COMMANDS)


def test_doctor_needs_no_framework(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # No Python package: a browser's library is where npm has put it.
    monkeypatch.setenv("DEPTHPORT_ONNXRUNTIME_WEB", str(tmp_path))
    done = bare("from depthport.bench.cli.app import main; main()", "doctor")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    found = json.loads(bare("from depthport.bench.cli.app import main; main()", "doctor", "--json").stdout)
    assert found["runtimes"] and not any(row["available"] for row in found["runtimes"])
    assert all(row["reason"] and row["remedy"] for row in found["runtimes"])
    assert all(row["reason"] for row in found["formats"])
    assert {row["licence"] for row in found["checkpoints"]} == {"Apache-2.0", "CC BY-NC 4.0"}


def test_run_says_in_one_line_what_to_install() -> None:
    done = bare("from depthport.bench.cli.app import main; main()", "export", "da3-small", "--format", "onnx")
    assert done.returncode == 2
    # Progress may stand above it; the error itself is the last line.
    *progress, error = done.stderr.strip().splitlines()
    assert error.startswith("depthport: ") and "pip install" in error
    assert not any("Traceback" in line for line in progress)


def test_the_command_line_starts_without_heavy_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, depthport.bench.cli.app; print(*sys.modules)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=True,
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "onnx", "onnxruntime", "coremltools", "numpy", "PIL", "cv2", "skimage", "matplotlib"}
