"""The fleet over Dask, its machines processes here: what is lost comes back, what is absent is a row, others go on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("distributed", reason="needs the extra fleet")
pytest.importorskip("tomli", reason="needs the extra fleet")

from depthport.bench.fleet.cluster import connected
from depthport.bench.fleet.description import read_fleet
from depthport.bench.fleet.merge import merge_fleet
from depthport.bench.fleet.rows import Rows, load_rows
from depthport.bench.fleet.run import FleetRun
from depthport.bench.fleet.survey import survey
from depthport.exporters.core.errors import UnavailableError
from tests.support.certificates import certificates
from tests.support.fleet import BENCH, Background, Host, describe, free_port, frozen, hosts, journals, steps_of, wait_for

JOB = "da3-small-1x1x28x42"


def fleet_run(
    description: Path, out: Path, *, patience_s: float = 60.0, scheduler: str | None = None, measure: bool = True
) -> Background:
    fleet, bundle = read_fleet(description), frozen(description, out)

    def run(watch: Callable[[Rows], None]) -> Rows:
        with connected(fleet, scheduler) as cluster:
            return FleetRun(fleet, bundle, out / "bundle", out, cluster, patience_s).run(watch, measure=measure)

    return Background(run)


def test_two_machines_give_one_answer_and_a_killed_worker_goes_on_where_it_was(tmp_path: Path) -> None:
    elsewhere = 'address = "127.0.0.9"'
    description = describe(tmp_path, ["one", "two", "nobody", "liar"])
    description.write_text(
        description.read_text().replace('[machine.liar]\naddress = "127.0.0.1"', f"[machine.liar]\n{elsewhere}")
    )
    out = tmp_path / "out"
    running = fleet_run(description, out, patience_s=8)
    two = Host(description, "two", tmp_path, seconds=4, environment={"DEPTHPORT_FAKE_CPU": "Another CPU"})
    liar = Host(description, "liar", tmp_path)
    with hosts(Host(description, "one", tmp_path), liar, two):
        wait_for(lambda: max(journals(two), default=0) > 3)
        two.kill_worker()
        rows = running.end()
    assert {name: row.state() for name, row in rows.machines.items()} == {
        "one": "done", "two": "done", "nobody": "left out", "liar": "left out",
    }  # fmt: skip
    assert "depthport fleet join" in rows.machines["nobody"].why()
    assert "not from 127.0.0.9" in rows.machines["liar"].why() and not journals(liar)
    assert any(line[0] == "two" and "gone" in line[4] for line in running.seen)
    assert any(line[0] == "two" and "%" in line[4] for line in running.seen), "no progress was seen"
    steps = steps_of(out / "two" / JOB / "results.json")
    assert len(steps) == 10 and len({pid for pid, _ in steps}) == 2, "what was measured before the kill was not again"
    merged = merge_fleet(frozen(description, out), out)
    assert merged.missing == (("nobody", JOB), ("liar", JOB))
    assert load_rows(out).machines["two"].state() == "done"


def test_tls_lets_in_who_has_a_certificate_of_the_fleet_and_nobody_else(tmp_path: Path) -> None:
    own, stranger = certificates(tmp_path / "own"), certificates(tmp_path / "stranger")
    description = describe(tmp_path, ["one"], extra=own.table())
    text = description.read_text().replace("tcp://", "tls://")
    description.write_text(text)
    other = tmp_path / "other.toml"
    other.write_text(text.replace(own.table(), stranger.table()))
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "out"
    false = Host(other, "one", tmp_path / "elsewhere")
    running = fleet_run(description, out)
    wait_for(lambda: b"Waiting to connect" in false.log.read_bytes())
    one = Host(description, "one", tmp_path, seconds=3)
    with hosts(one, false):
        wait_for(lambda: running.state("one") in ("measuring", "collecting", "done"))
        address = read_fleet(description).scheduler
        assert address is not None
        with pytest.raises(UnavailableError, match="no scheduler at"), connected(read_fleet(other), address):
            pytest.fail("a stranger's certificate was taken")
        bare = address.replace("tls://", "tcp://")
        with pytest.raises(UnavailableError, match="no scheduler at"), connected(read_fleet(description), bare):
            pytest.fail("a client without TLS was taken")
        open_ports = {w.laddr.port for pid in one.workers() for w in listening(pid) if w.laddr.ip != "127.0.0.1"}
        assert len(open_ports) == 1, "more than the port that asks for a certificate is open to others"
        assert "connected" in survey(read_fleet(description), None)["one"]
        assert running.end().machines["one"].state() == "done"
        assert b"Registered to" in one.log.read_bytes() and b"Registered to" not in false.log.read_bytes()

        # What is lost here is still there.
        shutil.rmtree(out / "one")
        assert fleet_run(description, out, measure=False).end().machines["one"].state() == "done"
        assert steps_of(out / "one" / JOB / "results.json")


def listening(pid: int) -> list[Any]:
    """The sockets on which a process waits for others."""
    return [found for found in psutil.Process(pid).net_connections("inet") if found.status == psutil.CONN_LISTEN]


@pytest.mark.slow
def test_two_fleets_at_once_measure_one_after_the_other(tmp_path: Path) -> None:
    # Two schedulers, so Dask does not know of the other; the machine's lock does.
    ends = []
    runs = []
    machines = []
    for number in (1, 2):
        folder = tmp_path / f"fleet{number}"
        folder.mkdir()
        description = describe(folder, ["box"], bench=BENCH.replace("28x42", f"28x{28 * number}"))
        runs.append(fleet_run(description, folder / "out"))
        machines.append(
            Host(description, "box", folder, seconds=3, environment={"DEPTHPORT_CACHE": str(tmp_path / "cache")})
        )
    with hosts(*machines):
        assert all(run.end().machines["box"].state() == "done" for run in runs)
    for number in (1, 2):
        times = [when for _, when in steps_of(next((tmp_path / f"fleet{number}" / "out").glob("box/*/results.json")))]
        ends.append((times[0], times[-1]))
    first, second = sorted(ends)
    assert first[1] < second[0], "they measured at the same time"
    assert any("another fleet measures on it" in line[4] for run in runs for line in run.seen)


@pytest.mark.slow
def test_two_fleets_over_one_scheduler_measure_one_after_the_other(tmp_path: Path) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-dashboard",
    ]
    scheduler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        descriptions = []
        for number, shape in ((1, "1x28x42"), (2, "1x28x56")):
            (tmp_path / f"fleet{number}").mkdir()
            descriptions.append(describe(tmp_path / f"fleet{number}", ["box"]))
            descriptions[-1].write_text(descriptions[-1].read_text().replace("1x28x42", shape))
        with hosts(box := Host(descriptions[0], "box", tmp_path, seconds=3, arguments=("--scheduler", address))):
            wait_for(lambda: b"Registered to" in box.log.read_bytes())
            runs = [fleet_run(path, path.parent / "out", scheduler=address) for path in descriptions]
            assert all(run.end().machines["box"].state() == "done" for run in runs)
    finally:
        scheduler.kill()
        scheduler.wait()
    spans = []
    for path in descriptions:
        times = [when for _, when in steps_of(next((path.parent / "out" / "box").glob("*/results.json")))]
        spans.append((times[0], times[-1]))
    first, second = sorted(spans)
    assert first[1] < second[0], "they measured at the same time"
