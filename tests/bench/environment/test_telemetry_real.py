"""Telemetry of this machine and of real child processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from depthport.bench.environment.telemetry import Telemetry
from depthport.bench.environment.telemetry_cpu import LinuxCpuReader, PortableCpuReader

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
BURN = """
import sys, time
print(flush=True)
end = time.process_time() + 0.05
while time.process_time() < end:
    pass
print(flush=True)
sys.stdin.read()
"""
SLEEP = "import sys\nprint(flush=True)\nsys.stdin.read()"


@contextmanager
def child(code: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdin is not None
    try:
        process.stdout.readline()  # it has started
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize("reader", [pytest.param(LinuxCpuReader, marks=LINUX), PortableCpuReader])
def test_a_real_worker_that_computed_and_one_that_slept(reader: type) -> None:
    take = reader()
    with child(SLEEP) as parked, child(BURN) as active:
        before = take.snapshot()
        assert active.stdout is not None
        active.stdout.readline()
        after = take.snapshot()
        assert (after.subtree_s(active.pid) or 0) >= 0.04  # it used 0.05 s; psutil's clock has steps of 10 ms
        assert (after.subtree_s(parked.pid) or 0) - (before.subtree_s(parked.pid) or 0) < 0.03
    assert take.snapshot([parked.pid]).subtree_s(parked.pid) is None


def test_a_real_record_on_this_machine() -> None:
    telemetry = Telemetry()
    with child(SLEEP) as parked, child(SLEEP) as active:
        record = telemetry.after(telemetry.before([parked.pid]), active.pid)
    gone = telemetry.after(telemetry.before([parked.pid]), active.pid)
    telemetry.close()
    assert "unreadable" not in record
    assert (record["active_rss_mib"] or 0) > 1
    assert record["parked_cpu_share"] is not None
    assert gone["active_rss_mib"] is None and gone["parked_cpu_share"] is None


@LINUX
def test_no_subprocess_is_started_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("a subprocess around a block")

    telemetry = Telemetry()
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    monkeypatch.setattr(os, "fork", forbidden)
    telemetry.after(telemetry.before([]), os.getpid())
    telemetry.close()
