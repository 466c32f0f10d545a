"""The commands as people and workflows type them, on one machine and without a network."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("tomli", reason="needs the extra fleet")

from depthport.bench.cli.fleet_view import _Log, _table
from depthport.bench.fleet.rows import JobRow, MachineRow, Rows, load_rows
from depthport.exporters.core.errors import UsageError
from tests.support.fleet import SITE, Host, describe, hosts
from tests.support.paths import ROOT

JOB = "da3-small-1x1x28x42"


def fleet(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(SITE), str(ROOT)])
    own = {**os.environ, "PYTHONPATH": path, "COLUMNS": "300", "DEPTHPORT_FAKE_S": "0.1", **environment}
    command = [sys.executable, "-m", "depthport", "fleet", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=own, timeout=120)


def test_a_bundle_is_carried_by_hand_as_a_workflow_does(tmp_path: Path) -> None:
    describe(tmp_path, ["one", "two"])
    frozen = fleet(tmp_path, "freeze", "FLEET.toml", "--out", "bundle", "--json")
    assert frozen.returncode == 0, frozen.stderr
    sha256 = json.loads(frozen.stdout)["sha256"]

    first = fleet(tmp_path, "work", "bundle", "--machine", "one", "--json", DEPTHPORT_CACHE=str(tmp_path / "one"))
    assert first.returncode == 0, first.stderr
    told = [json.loads(line) for line in first.stdout.splitlines()]
    assert told[0]["state"] == "starting" and told[-1]["state"] == "done"
    bundle = json.loads((tmp_path / "results" / "one" / JOB / "results.json").read_text())["bundle"]
    assert (bundle["sha256"], bundle["machine"], bundle["job"]) == (sha256, "one", JOB)
    assert bundle["contents"]["weights"] and bundle["contents"]["inputs"] and bundle["contents"]["versions"]["depthport"]

    stamp = (tmp_path / "results" / "one" / JOB / "results.json").stat().st_mtime_ns
    again = fleet(tmp_path, "work", "bundle", "--machine", "one")
    assert again.returncode == 0 and f"{JOB}: done" in again.stderr
    assert (tmp_path / "results" / "one" / JOB / "results.json").stat().st_mtime_ns == stamp, "it was measured again"

    merged = fleet(tmp_path, "merge", "bundle", "results")
    assert merged.returncode == 1 and f"two has not finished {JOB}" in merged.stderr
    assert "report.md" in merged.stdout and (tmp_path / "results" / "report.html").is_file()


def test_what_ends_a_share_is_one_line_and_its_exit_code(tmp_path: Path) -> None:
    describe(tmp_path, ["one"], extra='[versions]\nno-such-package = "1"')
    assert fleet(tmp_path, "freeze", "FLEET.toml").returncode == 0
    lacking = fleet(tmp_path, "work", "bundle", "--machine", "one")
    assert lacking.returncode == 2 and "no-such-package is not installed here" in lacking.stderr
    other = fleet(tmp_path, "work", "bundle", "--machine", "three")
    assert other.returncode == 2 and "the bundle has no machine 'three'" in other.stderr
    assert not (tmp_path / "results").exists()


def test_work_ends_with_whoever_started_it_and_goes_on(tmp_path: Path) -> None:
    describe(tmp_path, ["one"])
    assert fleet(tmp_path, "freeze", "FLEET.toml").returncode == 0
    path = os.pathsep.join([str(SITE), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, "-m", "depthport", "fleet", "work", "bundle", "--machine", "one", "--end-with-stdin"],
        stdin=subprocess.PIPE, cwd=tmp_path, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, "DEPTHPORT_FAKE_S": "600", "DEPTHPORT_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    journal = tmp_path / "results" / "one" / JOB / "journal.jsonl"
    until = time.monotonic() + 60
    while not journal.is_file() and time.monotonic() < until:
        time.sleep(0.05)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 143
    assert fleet(tmp_path, "work", "bundle", "--machine", "one").returncode == 0


def test_run_and_status_by_hand(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra fleet")
    description = describe(tmp_path, ["one"])
    with hosts(Host(description, "one", tmp_path)):
        ran = fleet(tmp_path, "run", "FLEET.toml", "--out", "results", "--patience", "60")
    assert ran.returncode == 0, ran.stderr
    assert "report.md" in ran.stdout and "one done 1/1" in ran.stderr
    status = fleet(tmp_path, "status", "FLEET.toml", "--out", "results")
    assert status.returncode == 0 and "one: not asked: no scheduler at" in status.stdout and "1/1" in status.stdout
    again = fleet(tmp_path, "run", "FLEET.toml", "--out", "results", "--patience", "0")
    assert again.returncode == 0, "what is finished needs no machine"


def test_all_machines_are_in_one_view() -> None:
    rows = Rows(
        "0" * 64,
        {
            "box": MachineRow({"a": JobRow("done"), "b": JobRow("measuring", "warming up", 0.4, since=100.0)}),
            "mac": MachineRow({"a": JobRow("waiting", "on battery: plug it in", since=160.0)}),
            "jet": MachineRow({"a": JobRow()}, reason="no worker of this name yet"),
            "old": MachineRow({"a": JobRow("failed", "the disk is full"), "b": JobRow("done")}),
            "ok": MachineRow({"a": JobRow("done")}),
        },
    )
    console = Console(file=io.StringIO(), width=140)
    console.print(_table(rows, now=165.0))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in (
        "measuring 1:05 b 1/2 40% warming up",
        "waiting 0:05 a 0/1 on battery",
        "absent",
        "failed",
        "disk is full",
    ):
        assert all(word in shown for word in words.split()), words
    log = _Log(console)
    log(rows)
    log(rows)
    assert console.file.getvalue().count("on battery") == 2  # type: ignore[attr-defined]


def test_what_is_kept_of_a_run_is_read_again(tmp_path: Path) -> None:
    rows = Rows("0" * 64, {"box": MachineRow({"a": JobRow("measuring", "x", 0.5)})})
    rows.save(tmp_path)
    assert load_rows(tmp_path) == rows
    (tmp_path / "fleet.json").write_text('{"machines": 3}')
    with pytest.raises(UsageError, match="can't be read"):
        load_rows(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        load_rows(tmp_path / "nowhere")
