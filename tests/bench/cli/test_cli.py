"""The command line: one line and exit code 2 for bad input, nothing heavy imported, what people type is understood."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from depthport.bench.cli.app import main
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
    with pytest.raises(UsageError, match="is not a size"):
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
    for arguments in (["run", "--images"], ["run", "--images", "--out", "x"], ["run", "--images", "a", "--images"]):
        with pytest.raises(UsageError, match="--images names no file"):
            spread(arguments, "--images")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "No such command"),
        (["run", "da4"], "unknown model 'da4'"),
        (["run", "--size", "500x504"], "the nearest is 504"),
        (["run", "--size", "big"], "is not a size"),
        (["run", "--views", "0"], "views must be at least 1"),
        (["run", "--weights", "no/such/file.safetensors"], ""),
        (["run", "--images", "no-such.jpg"], "no-such.jpg"),
        (["run", "--images", "README.md"], "README.md"),
        (["run", "--views", "2", "--images", "LICENSE"], "1 images for 2 views"),
        (["bench", "--suite", "huge"], "unknown suite"),
        (["bench", "--protocol", "none"], "unknown protocol"),
        (["bench", "--runtime", "onxruntime"], "did you mean 'onnxruntime'?"),
        (["bench", "--runtime", "onnxruntime", "--runtime", "nope"], "unknown runtime 'nope'"),
        (["bench", "--device", "cpuu"], "did you mean 'cpu'?"),
        (["bench", "--mode", "nope"], "unknown mode"),
        (["bench", "--precision", "tf32", "--precision", "fp32", "--suite", "quick"], "unknown precision (of suite quick)"),
        (["bench", "--cell", "nope/cpu/x/fp32"], "unknown cell"),
        (["bench", "--interpreter", f"nope={sys.executable}"], "unknown runtime 'nope'"),
        (["bench", "--regime", "sustain"], "did you mean 'sustained'?"),
        (["bench", "--protocol", ""], "what follows --protocol is empty"),
        (["bench", "--runtime="], "what follows --runtime is empty"),
        (["export", "da3-small", "--target", " "], "what follows --target is empty"),
        (["run", "--images"], "--images names no file"),
        (["run", "--images", "--views", "2"], "--images names no file"),
        (["bench", "--threads", "0"], "--threads is 0: it must be at least 1"),
        (["bench", "--threads", "1000000"], "at most 1,024"),
        (["bench", "--seed", "-1"], "--seed is -1"),
        (["bench", "--launches", "0"], "--launches is 0"),
        (["bench", "--budget", "1e308"], "at most 2,592,000 seconds"),
        (["bench", "--budget", "inf"], "--budget is inf"),
        (["bench", "--rate-hz", "1e12"], "--rate-hz is 1e+12"),
        (["bench", "--rate-hz", "30", "--minutes", "1e300"], "--minutes is 1e+300"),
        (["bench", "--regime", "sustained", "--minutes", "inf"], "--minutes is inf"),
        (["check", "da3-small", "--tolerance", "inf"], "--tolerance is inf"),
        (["profile", "da3-small", "--calls", "0"], "--calls is 0"),
        (["profile", "da3-small", "--threads", "-4"], "--threads is -4"),
        (["max-batch", "da3-small", "--most", "0"], "--most is 0"),
        (["max-batch", "da3-small", "--memory-fraction", "2"], "--memory-fraction is 2"),
        (["run", "--views", "1000000000"], "ask for at most"),
        (["export", "da3-small", "--views", "1000000000"], "ask for at most"),
        (["run", "--size", "1000000006x1000000006"], "is not a size"),
        (["run", "--size", "700000000x700000000"], "ask for a smaller size"),
        (["export", "da3-small", "--batch", "999999999"], "ask for at most"),
        (["run", "--views", "9" * 5000], "--views"),
        (["run", "--size", "9" * 5000], "is not a size"),
        (["run", "x" * 100_000], "unknown model"),
        (["bench", "--model", "a\x1b[31mb\u202ec"], "unknown model"),
        (["bench", "--out", "LICENSE"], "is not a folder"),
        (["bench", "--out", "/proc/nowhere"], "can't write to /proc/nowhere"),
        (["profile", "da3-small", "--out", "LICENSE/profile"], "is not a folder"),
        (["bench", "--budget", "-1"], "above 0"),
        (["bench", "--also", "fp3"], "unknown precision 'fp3'"),
        (["export", "da3-small", "--format", "tflite9"], "unknown format"),
        (["export", "da3-small", "--precision", "fp7"], "unknown precision"),
        (["export", "da3-small", "--size", "15x14"], "multiple of 14"),
        (["export", "da3-small", "--outputs", "depth,colour"], "colour"),
        (["export", "da3-small", "--dynamic", "views,frames"], "unknown dimension 'frames'"),
        (["export", "da3-small", "--dynamic", ","], "--dynamic ',' names nothing"),
        (["export", "da3-small", "--outputs", " , ,"], "--outputs ' , ,' names nothing"),
        (["bench", "--dynamic", ","], "--dynamic ',' names nothing"),
        (
            ["export", "da3-small", "--format", "pytorch", "--dynamic", "views", "--weights", "synthetic:0"],
            "has no dynamic views",
        ),
        (["export", "da3-small", "--source-size", "wide"], "--source-size 'wide' is not a size"),
        (["export", "da3-small", "--source-size", "5x5000"], "too thin"),
        (["export", "da3-small", "--dynamic", "size", "--source-size", "100x100"], "a graph with open size can't resize"),
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
    assert len(errors[0]) <= 300 and errors[0].isprintable()
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"README.md", "LICENSE"}, f"half-written: {left}"


def test_what_can_not_exist_is_refused_before_anything_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['depthport', 'run', '--views', '1000000000']\n"
        "from depthport.bench.cli.app import main\n"
        "try: main()\nexcept SystemExit as end: assert end.code == 2\n"
        "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'PIL', 'coremltools'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    done = subprocess.run(
        f"{sys.executable} -m depthport doctor --json | head -c 1", shell=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "{" and "Traceback" not in done.stderr and "Exception" not in done.stderr


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


def test_memory_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def greedy(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("depthport.bench.cli.app.app", greedy)
    monkeypatch.setattr(sys, "argv", ["depthport", "list"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and capsys.readouterr().err.startswith("depthport: this machine has not enough memory")
