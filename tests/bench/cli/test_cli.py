"""The command line: one line and exit code 2 for bad input, nothing heavy imported, what people type is understood."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from depthport.bench.cli.options import parse_interpreters, parse_options, parse_size, spread
from depthport.exporters.core.errors import UsageError
from tests.support.paths import ROOT


def depthport(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    import os

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "depthport", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env=environment,
        timeout=300,
    )


@pytest.mark.parametrize(("text", "size"), [("504x504", (504, 504)), ("336X504", (336, 504)), ("70", (70, 70))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "504x", "504x504x3", "-14x14", "5e2", "٥٠٤"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)


def test_options_take_json_and_text() -> None:
    assert parse_options(["a=1", "b=true", "c=text", "d=x=y"]) == {"a": 1, "b": True, "c": "text", "d": "x=y"}
    with pytest.raises(UsageError, match="name=value"):
        parse_options(["a"])


def test_interpreters() -> None:
    assert parse_interpreters([f"openvino={sys.executable}"]) == {"openvino": sys.executable}
    with pytest.raises(UsageError, match="RUNTIME=PYTHON"):
        parse_interpreters(["openvino=/no/such/python"])


def test_several_files_after_one_option() -> None:
    assert spread(["run", "--images", "a", "b", "--out", "c"], "--images") == [
        "run",
        "--images",
        "a",
        "--images",
        "b",
        "--out",
        "c",
    ]
    assert spread(["run", "-n", "2"], "--images") == ["run", "-n", "2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "No such command"),
        (["run", "--model", "da4"], "unknown model 'da4'"),
        (["run", "--size", "500x504"], "the nearest is 504"),
        (["run", "--size", "big"], "is no size"),
        (["run", "--views", "0"], "views must be at least 1"),
        (["run", "--weights", "no/such/file.safetensors"], ""),
        (["run", "--images", "no-such.jpg"], "no-such.jpg"),
        (["run", "--images", "README.md"], "README.md"),
        (["run", "--views", "2", "--images", "LICENSE"], "1 images for 2 views"),
        (["bench", "--suite", "huge"], "unknown suite"),
        (["bench", "--protocol", "none"], "unknown protocol"),
        (["bench", "--runtime", "none"], "nothing to measure"),
        (["bench", "--budget", "-1"], "above 0"),
        (["bench", "--also", "fp3"], "unknown precision 'fp3'"),
        (["export", "da3-small", "--format", "tflite9"], "unknown format"),
        (["export", "da3-small", "--precision", "fp7"], "unknown precision"),
        (["export", "da3-small", "--size", "15x14"], "multiple of 14"),
        (["export", "da3-small", "--outputs", "depth,colour"], "colour"),
        (["export", "da3-small", "--dynamic", "views,frames"], "unknown dimension 'frames'"),
        (["export", "da3-small", "--format", "pytorch", "--dynamic", "views"], "has no dynamic views"),
        (["export", "da3-small", "--source-size", "wide"], "--source-size 'wide' is no size"),
        (["export", "da3-small", "--source-size", "5x5000"], "too thin"),
        (["export", "da3-small", "--dynamic", "size", "--source-size", "100x100"], "a graph of open size can't resize"),
        (["bench", "--dynamic", "size", "--size", "1022x504"], "height must be 14 to 1008"),
        (["run", "--poses", "no-such.npz"], "poses without images"),
        (["report", "no-such-folder"], "no-such-folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    for name in ("README.md", "LICENSE"):
        (tmp_path / name).write_text("no image")
    done = depthport(*arguments, cwd=tmp_path)
    errors = [line for line in done.stderr.splitlines() if line.startswith("depthport: ")]
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(errors) == 1 and words in errors[0], done.stderr
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"README.md", "LICENSE"}, f"half-written: {left}"


def test_help_imports_no_framework() -> None:
    code = (
        "import sys; sys.argv = ['depthport', '--help']\n"
        "from depthport.bench.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'PIL', 'coremltools'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


def test_a_result_below_what_was_asked_is_exit_code_1(tmp_path: Path) -> None:
    from tests.support import results as fixtures

    path = tmp_path / "results.json"
    path.write_text(json.dumps(fixtures.cpu_server(fixtures.FEW).to_json()))
    for arguments, code in ((["--max-latency-ms", "1"], 1), (["--max-latency-ms", "1e9"], 0)):
        done = depthport("choose", str(path), *arguments)
        assert done.returncode == code, done.stderr
        assert done.stdout
