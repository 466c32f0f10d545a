"""`reproduce`: a command that names one cell, a script that runs, and no name that leaves its quotes."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import force_setattr

from depthport.bench.choice.reproduce import command_line, reproduce
from depthport.bench.results.load_results import load_results, parse_results
from depthport.bench.results.sections import RegimeSection
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.store import ArtifactStore
from tests.support import results as fixtures
from tests.support.hostile import hostile
from tests.support.paths import ROOT

CELL = "pytorch/cuda/compile/bf16"


def test_the_command_repeats_cell_shape_weights_and_protocol() -> None:
    results = fixtures.h100()
    recipe = reproduce(results, CELL)
    words = shlex.split(recipe.command_line)
    assert tuple(words) == recipe.command
    assert words[2] == "da3-large"
    for word in ("--views=5", "--size=504x504", f"--cell={CELL}", "--protocol=rigorous"):
        assert word in words
    assert "--weights=depth-anything/DA3-LARGE" in words
    median = next(cell for cell in results.cells if cell.id == CELL).timing["device"].median_ms
    assert float(recipe.expected.split(" ms")[0]) == pytest.approx(median, rel=1e-3)


def test_the_script_holds_the_cell_and_compiles() -> None:
    tree = ast.parse(reproduce(fixtures.h100(), CELL).script)
    assigned = next(n for n in tree.body if isinstance(n, ast.Assign))
    assert ast.literal_eval(assigned.value)["id"] == CELL


def test_an_unknown_cell_names_near_ones() -> None:
    with pytest.raises(UsageError, match="compile/bf16"):
        reproduce(fixtures.h100(), "compile")


def test_hostile_names_stay_quoted() -> None:
    results, _ = parse_results(json.loads(json.dumps(hostile())))
    for cell in results.cells:
        assert shlex.split(command_line(results, cell))[:2] == ["depthport", "bench"]
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", cell.runtime):
            with pytest.raises(UsageError):
                reproduce(results, cell.id)
            force_setattr(cell, "runtime", "pytorch")
        force_setattr(cell, "format", "pytorch")
        recipe = reproduce(results, cell.id)
        assert tuple(shlex.split(recipe.command_line)) == recipe.command
        assert not recipe.command[2].startswith("-")
        assert all(word.startswith("--") for word in recipe.command[3:])
        tree = ast.parse(recipe.script)
        assigned = next(n for n in tree.body if isinstance(n, ast.Assign))
        assert ast.literal_eval(assigned.value)["id"] == cell.id
        json.dumps(recipe.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    "version",
    ["1.0; touch pwned", "1.0 --index-url=http://evil", "$(touch pwned)", "1.0 evil", "http://evil/x.whl", "\n1.0\nevil",
     "", "-r x", "@ file:///x", "1.0\u202e", 5, None, ["1.0"]],
)  # fmt: skip
def test_what_is_no_version_is_not_printed(version: object) -> None:
    results = fixtures.h100()
    environment: Any = results.environment
    environment["packages"] = {"torch": version, "numpy": "2.1.0", "evil": "1.0", "torch; touch pwned": "1.0"}
    cell = next(cell for cell in results.cells if cell.id == CELL)
    force_setattr(cell, "artifact", {**(cell.artifact or {}), "versions": {"torch": version, "evil": "1.0"}})
    printed = [shlex.split(line) for line in reproduce(results, CELL).install_lines]
    assert printed == [["pip", "install", "numpy==2.1.0"]]


def test_versions_are_printed_as_the_standard_spells_them() -> None:
    results = fixtures.h100()
    results.environment["packages"] = {"torch": "v2.11.0+CU128", "numpy": "1!2.1", "depth-anything-3": "0.1.1"}
    for cell in results.cells:
        force_setattr(cell, "artifact", None)
    lines = reproduce(results, CELL).install_lines
    assert shlex.split(lines[0]) == ["pip", "install", "numpy==1!2.1", "torch==2.11.0"]
    # Its metadata asks for another numpy: installed with the rest, nothing could be resolved.
    assert shlex.split(lines[1])[:4] == ["pip", "install", "--no-deps", "--ignore-requires-python"]


@pytest.mark.parametrize("name", ["os:system", "x:Y", "a b", "../x", ""])
def test_a_runtime_that_is_no_name_is_refused(name: str) -> None:
    results = fixtures.h100()
    force_setattr(next(cell for cell in results.cells if cell.id == CELL), "runtime", name)
    with pytest.raises(UsageError, match="is not a valid name"):
        reproduce(results, CELL)


def test_another_precision_is_repeated() -> None:
    results = fixtures.h100()
    assert not any(word.startswith("--until") for word in reproduce(results, CELL).command)
    results.protocol["target_half_width"] = 0.05
    assert "--until=5%" in reproduce(results, CELL).command


def test_another_regime_is_repeated_in_it() -> None:
    results = fixtures.h100()
    cases: tuple[tuple[RegimeSection, set[str]], ...] = (
        ({"kind": "burst"}, set()),
        ({"kind": "sustained", "seconds": 300.0, "rate_hz": None}, {"--regime=sustained", "--minutes=5"}),
        ({"kind": "fixed-rate", "seconds": 30.0, "rate_hz": 12.5}, {"--rate-hz=12.5", "--minutes=0.5"}),
    )
    for regime, words in cases:
        results.protocol["regime"] = regime
        command = reproduce(results, CELL).command
        assert {w for w in command if w.startswith(("--regime", "--minutes", "--rate"))} == words


def test_what_was_asked_of_the_artifacts_is_repeated() -> None:
    results = fixtures.h100()
    results.protocol["asked"] = {
        "pose_input": True, "preprocess": False, "source_size": (480, 640), "dynamic": ["views", "; rm -rf"],
    }  # fmt: skip
    command = reproduce(results, CELL).command
    assert {"--pose-input", "--source-size=480x640", "--dynamic=views"} <= set(command)
    assert "--preprocess" not in command
    for broken in (None, 5, {"source_size": "x", "dynamic": 3}, {"source_size": [1]}):
        data = json.loads(json.dumps(results.to_json()))
        data["protocol"]["asked"] = broken
        read, _ = parse_results(data)
        assert not {w for w in reproduce(read, CELL).command if w.startswith(("--source", "--dynamic", "--pose"))}


_WITHOUT_BENCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert not name.startswith("depthport.bench"), f"the script imports {name}"

sys.meta_path.insert(0, Refuse())
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"))
"""


@pytest.mark.parametrize(
    "asked",
    [{}, {"preprocessing": {"where": "graph", "source_size": [50, 60]}}, {"inputs": ["image", "extrinsics", "intrinsics"]}],
)
def test_the_script_runs_without_the_benchmark_package(
    asked: dict[str, object], store: ArtifactStore, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    results = fixtures.cpu_server(fixtures.FEW)
    cell = next(cell for cell in results.cells if cell.runtime == "onnxruntime" and cell.timing)
    small = structs.replace(
        cell, model="da3-small", mode="cpu", views=2, height=28, width=42, weights="synthetic:0", artifact=asked
    )
    script = tmp_path / "again.py"
    script.write_text(reproduce(structs.replace(results, cells=[small]), cell.id).script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DEPTHPORT_ARTIFACTS": str(store.root)}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_BENCH, str(script)], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "n = 30" in done.stdout and "ran on" in done.stdout


def test_its_help_names_a_cell_that_runs_have() -> None:
    from depthport.bench.cli.results import reproduce as command

    example = (command.__doc__ or "").rpartition("results ")[2].split()[0]
    recorded = [load_results(path).results for path in (ROOT / "bench" / "records").glob("*/results.json")]
    assert example in {cell.id for run in recorded for cell in run.cells}
