"""From the pick of a results file to its file and the command that exports it again."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from depthport.bench.choice.choose import choose
from depthport.bench.choice.deploy import export_command, stored_artifact
from depthport.bench.cli.app import app
from depthport.bench.cli.console import render_pick
from depthport.bench.cli.summary import render_summary
from depthport.bench.results.model import Cell, Status
from depthport.exporters.core.store import ArtifactStore
from tests.support.fake_runtime import fake_artifact
from tests.support.results import cpu_server


def cell_of(**changes: Any) -> Cell:
    cell = next(cell for cell in cpu_server().cells if cell.timing and not cell.baseline)
    return msgspec.structs.replace(cell, **changes)


def exported_again(cell: Cell) -> list[str]:
    return shlex.split(export_command(cell))[2:]


def test_the_command_says_everything_that_was_asked_of_the_artifact() -> None:
    cell = cell_of(
        format="onnx", precision="fp16", views=3, batch=2, weights="my weights",
        artifact={
            "options": {"target": "ort-cpu"}, "dynamic": ["views"], "inputs": ["image", "extrinsics", "intrinsics"],
            "preprocessing": {"where": "graph", "source_size": [1080, 1920]},
        },
    )  # fmt: skip
    words = exported_again(cell)
    assert words[0] == cell.model
    assert {
        "--format=onnx", "--precision=fp16", "--views=3", "--batch=2", "--target=ort-cpu", "--dynamic=views",
        "--pose-input", "--source-size=1080x1920", "--weights=my weights",
    } <= set(words)  # fmt: skip


def test_a_mode_with_export_options_of_its_own_says_them() -> None:
    cell = cell_of(format="coreml", runtime="coreml", device="ane", mode="CPU_AND_NE", artifact=None)
    assert "--option=ane=true" in exported_again(cell)


def test_the_command_is_one_that_there_is(tmp_path: Path) -> None:
    cell = cell_of(
        artifact={"options": {"target": "ort-cpu"}}, format="onnx", weights="no/such/file.safetensors", height=15
    )
    refused = CliRunner().invoke(app, shlex.split(export_command(cell))[1:])
    assert "multiple of 14" in str(refused.exception), "every option was read"


def test_the_pick_is_one_line_with_its_file(tmp_path: Path) -> None:
    results, store = cpu_server(), ArtifactStore(tmp_path)
    choice = choose(results)
    stored = fake_artifact(tmp_path / "kept")
    cells = [
        msgspec.structs.replace(c, artifact={"key": stored.manifest.key}) if c.id == choice.pick else c
        for c in results.cells
    ]
    assert (found := stored_artifact(next(c for c in cells if c.id == choice.pick), store)) and found.path == stored.path
    output = io.StringIO()
    render_pick(choice, msgspec.structs.replace(results, cells=cells), store, Console(file=output, width=40))
    (line,) = output.getvalue().splitlines()
    assert line.startswith(f"pick: {choice.pick}  {stored.path}") and "  depthport export " in line


@pytest.mark.parametrize("width", [60, 200])
def test_a_run_ends_with_the_pick_and_folds_what_is_not_here(tmp_path: Path, width: int) -> None:
    results = cpu_server()
    some = next(cell for cell in results.cells if not cell.baseline)
    away = [
        msgspec.structs.replace(
            some, id=f"{name}/x/y/fp32", runtime=name, status=Status.UNAVAILABLE, reason=reason, timing={}
        )
        for name, reason in (("tensorrt", "no GPU"), ("coreml", "no Mac"), ("tensorrt", "no GPU"))
    ]
    output = io.StringIO()
    told = msgspec.structs.replace(results, cells=[*results.cells, *away])
    render_summary(told, [], ArtifactStore(tmp_path), Console(file=output, width=width))
    lines = output.getvalue().splitlines()
    assert lines[-1].startswith("pick: ")
    assert [line for line in lines if line.startswith("not here: ")] == [
        "not here: coreml, pytorch on mps, tensorrt (what to do: depthport doctor)"
    ]
    assert "no Mac" not in output.getvalue()
    nothing = msgspec.structs.replace(results, cells=away)
    output = io.StringIO()
    render_summary(nothing, [], ArtifactStore(tmp_path), Console(file=output, width=width))
    assert output.getvalue().splitlines()[-1].startswith("no pick: ")
