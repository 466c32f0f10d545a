"""The fleet over Dask, its machines processes here: what is lost comes back, what is absent is a row, others go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra fleet")
pytest.importorskip("tomli", reason="needs the extra fleet")

from depthport.bench.fleet.cluster import connected
from depthport.bench.fleet.description import read_fleet
from depthport.bench.fleet.merge import merge_fleet
from depthport.bench.fleet.rows import Rows
from depthport.bench.fleet.run import FleetRun
from tests.support.fleet import Background, Host, describe, frozen, hosts, wait_for

JOB = "da3-small-1x1x28x42"


def fleet_run(description: Path, out: Path, patience_s: float = 60.0) -> Background:
    fleet, bundle = read_fleet(description), frozen(description, out)

    def run(watch) -> Rows:  # type: ignore[no-untyped-def]
        with connected(fleet, None) as cluster:
            return FleetRun(fleet, bundle, out / "bundle", out, cluster, patience_s).run(watch)

    return Background(run)


def test_two_machines_give_one_answer_and_a_killed_worker_goes_on_where_it_was(tmp_path: Path) -> None:
    description = describe(tmp_path, ["one", "two", "nobody"])
    out = tmp_path / "out"
    running = fleet_run(description, out, patience_s=12)
    one = Host(description, "one", tmp_path, seconds=1)
    two = Host(description, "two", tmp_path, seconds=4, environment={"DEPTHPORT_FAKE_CPU": "Another CPU"})
    with hosts(one, two):
        journal = two.cache / "fleet" / "results"
        wait_for(lambda: any(len(path.read_text().split()) > 3 for path in journal.glob("*/two/*/journal.jsonl")))
        two.kill_worker()
        rows = running.end()
    assert {name: row.state() for name, row in rows.machines.items()} == {
        "one": "done",
        "two": "done",
        "nobody": "left out",
    }
    assert "depthport fleet join" in rows.machines["nobody"].why()
    assert any(line[0] == "two" and "gone" in line[4] for line in running.seen)
    pids = json.loads((out / "two" / JOB / "results.json").read_text())["protocol"]["pids"]
    assert len(pids) == 10 and len(set(pids)) == 2, "what was measured before the kill was not measured again"
    merged = merge_fleet(frozen(description, out), out)
    assert merged.missing == (("nobody", JOB),)
