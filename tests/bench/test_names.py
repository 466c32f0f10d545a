"""No module of bench names a runtime or a format: what it must know of one is an attribute of its class."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from depthport.exporters.core.plugins import entry_points
from depthport.exporters.registry import GROUP as EXPORTERS
from depthport.runtimes.registry import GROUP as RUNTIMES
from depthport.runtimes.registry import installed_runtimes
from tests.support.paths import ROOT

BENCH = ROOT / "bench"
ALLOWED = {
    "studies/verdicts.py": "one fixed workload whose right answer is known",
    "diagnose/precision_check.py": "joins one format's parser, calibration and engine, which may not import each other",
    "cli/app.py": "extras of the package that doctor installs, as an example",
    "diagnose/missing.py": "extras of the package that any machine has use for",
    "cli/check.py": "its command",
    "cli/inspect.py": "its samples are of one format, and for a page in a browser among others",
    "report/model/neural_engine.py": "a section on one vendor's processor",
}


def adapters() -> list[str]:
    """Packages and modules of the adapters, e.g. `depthport.runtimes.openvino`."""
    points = [point for group in (EXPORTERS, RUNTIMES) for point in entry_points(group).values()]
    return sorted({".".join(point.module.split(".")[:3]) for point in points if point.module.startswith("depthport.")})


def words() -> re.Pattern[str]:
    """Names and titles of every runtime and format, as whole words."""
    names = {*entry_points(EXPORTERS), *entry_points(RUNTIMES), *(runtime.title for runtime in installed_runtimes())}
    longest_first = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    # Not within another word, nor in the address of a site.
    return re.compile(rf"(?<![\w.])({longest_first})(?!\w)", re.IGNORECASE)


def named(path: Path) -> Iterator[str]:
    """What a module says of adapters outside of its docstrings, which may give examples, and the adapters it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    pattern, modules = words(), adapters()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield from (f"{node.lineno}: {found}" for found in pattern.findall(node.value))
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.lineno}: {m}" for m in modules if f"{node.module}.".startswith(f"{m}."))


@pytest.mark.skipif(len(entry_points(RUNTIMES)) == 0, reason="depthport is not installed")
def test_bench_names_no_runtime_and_no_format() -> None:
    # Scripts of records name what they recorded.
    paths = [path for path in sorted(BENCH.rglob("*.py")) if path.parent.name != "records"]
    found = {path.relative_to(BENCH).as_posix(): list(named(path)) for path in paths}
    assert {path: places for path, places in found.items() if places and path not in ALLOWED} == {}
    assert [path for path in ALLOWED if not found.get(path)] == [], "no longer needed"


@pytest.mark.skipif(len(entry_points(RUNTIMES)) == 0, reason="depthport is not installed")
def test_the_page_names_none_either() -> None:
    scripts = sorted((BENCH / "report/page/assets/page").rglob("*.js"))
    assert scripts and not [path.name for path in scripts if words().search(path.read_text(encoding="utf-8"))]
