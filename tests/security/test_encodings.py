"""Output in an encoding that lacks its signs: the same exit code as in UTF-8, and no traceback."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from depthport.bench.cli.app import main
from depthport.exporters.core.artifact import MANIFEST
from tests.support import results as fixtures
from tests.support.fake_runtime import fake_artifact

ENCODINGS = ("cp1252", "latin-1", "ascii", "cp850", "cp932", "utf-8")


def run(arguments: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, bytes]:
    out = io.BytesIO()
    stream = io.TextIOWrapper(out, encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "argv", ["depthport", *arguments])
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    stream.flush()
    return code, out.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_that_prints(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = fixtures.cpu_server(fixtures.FEW)
    results.environment["cpu"]["model"] = "Prozessor “für” 日本 ✓ …"
    (tmp_path / "results.json").write_text(json.dumps(results.to_json()))
    folder = fake_artifact(tmp_path / "artifact").path
    data = json.loads((folder / MANIFEST).read_text())
    data["weights"]["id"] = "Gewichte “für” 日本 \x1b]0;x\x07\u202e\ud800 ✓"
    (folder / MANIFEST).write_text(json.dumps(data))
    source = str(tmp_path / "results.json")
    for arguments, code in (
        (["choose", source], 0), (["choose", source, "--max-latency-ms", "0.001"], 1), (["compare", source, source], 0),
        (["inspect", str(folder)], 0), (["reproduce", source, results.cells[0].id], 0),
        (["report", source, "--out", str(tmp_path / "日本")], 0), (["inspect", str(tmp_path / "日本\x1b[31m")], 2),
        (["--help"], 0),
    ):  # fmt: skip
        found, printed = run(arguments, encoding, monkeypatch)
        assert found == code, (arguments, printed.decode(encoding, "replace")[-400:])
        assert printed and not set(b"\x07\x00") & set(printed) and b"\x1b" not in printed, arguments
        assert "\u202e" not in printed.decode(encoding, "replace")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_that_windows_tools_write_are_read_alike(encoding: str, tmp_path: Path) -> None:
    from depthport.bench.inputs.pose_files import read_poses
    from depthport.bench.results.load_results import load_results
    from depthport.exporters.core.artifact import load_artifact
    from depthport.exporters.core.files.atomic import read_json

    (tmp_path / "results.json").write_text(json.dumps(fixtures.cpu_server(fixtures.FEW).to_json()), encoding=encoding)
    assert load_results(tmp_path).notes == ()
    folder = fake_artifact(tmp_path / "artifact").path
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text(), encoding=encoding)
    load_artifact(folder)
    eye = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    poses = {"extrinsics": [eye], "intrinsics": [[[50, 0, 49], [0, 50, 35], [0, 0, 1]]]}
    (tmp_path / "poses.json").write_text(json.dumps(poses), encoding=encoding)
    assert read_poses(tmp_path / "poses.json").extrinsics.shape == (1, 4, 4)
    (tmp_path / "config.json").write_text('{"model_name": "da3-small"}', encoding=encoding)
    assert read_json(tmp_path / "config.json") == {"model_name": "da3-small"}
