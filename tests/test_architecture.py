"""ARCHITECTURE.md is true: its example passes the contract as it is printed, its rooms are those that are there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.runtimes.contract import CHECKS, Subject
from tests.support.paths import ROOT
from tests.support.tiny import tiny_onnx

TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
EXAMPLE, TEST = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    pytest.importorskip("onnx")
    module = ModuleType("reference")
    exec(compile(EXAMPLE, "ARCHITECTURE.md", "exec"), module.__dict__)
    return module


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    pytest.importorskip("onnx")
    return tiny_onnx(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_example_passes_the_contract(
    check: Callable[[Subject, Path], None], example: Any, artifact: Artifact, tmp_path: Path
) -> None:
    check(Subject(example.ReferenceRuntime(), artifact), tmp_path)


def test_the_example_has_at_most_sixty_lines_and_its_test_is_ours() -> None:
    assert len(EXAMPLE.splitlines()) <= 60
    assert "CHECKS" in TEST and "check(Subject(ReferenceRuntime(), artifact), tmp_path)" in TEST


@pytest.mark.parametrize("package", ["bench", "exporters", "runtimes"])
def test_every_room_that_is_named_is_there_and_bench_is_named_whole(package: str) -> None:
    table = TEXT.split(f"| `{package}/` | holds |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z0-9_]+(?:/|\.py))`", "\n".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert named and all((ROOT / package / name).exists() for name in named)
    if package == "bench":
        rooms = {f"{path.parent.name}/" for path in (ROOT / "bench").glob("*/__init__.py")}
        assert named == rooms
