"""Telemetry with fake counters, a fake sysfs and a simulated clock; two tests look at real processes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from depthport.bench.environment.telemetry import FIELDS, Telemetry
from depthport.bench.environment.telemetry_cpu import CpuSnapshot, LinuxCpuReader, cpu_shares
from depthport.bench.environment.telemetry_host import HostGauges

MANAGER, ACTIVE, PARKED, HELPER = 100, 101, 102, 103
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def snapshot(wall_s: float, idle_s: float | None, used: dict[int, float], steal_s: float = 0.0) -> CpuSnapshot:
    """A machine of four CPUs; HELPER is a child of PARKED, the workers are children of MANAGER."""
    parents = {MANAGER: 1, ACTIVE: MANAGER, PARKED: MANAGER, HELPER: PARKED}
    return CpuSnapshot(wall_s, 4, idle_s, steal_s, used, {pid: parents[pid] for pid in used})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeCpu:
    """Gives one snapshot after the other; the first is taken when telemetry starts."""

    def __init__(self, *snapshots: CpuSnapshot | Exception) -> None:
        self._snapshots = list(snapshots)

    def snapshot(self, extra_roots: Iterable[int] = ()) -> CpuSnapshot:
        found = self._snapshots.pop(0) if len(self._snapshots) > 1 else self._snapshots[0]
        if isinstance(found, Exception):
            raise found
        return found


# -- shares ------------------------------------------------------------------------------------------------


def test_shares_of_a_block_with_a_foreign_process_and_a_noisy_parked_helper() -> None:
    before = snapshot(10, 100, {MANAGER: 5, ACTIVE: 7, PARKED: 3, HELPER: 1}, steal_s=2)
    # Two seconds on four CPUs: 8 CPU seconds, of which 4 idle and 0.4 stolen; ours used 2.6, others the rest.
    after = snapshot(12, 104, {MANAGER: 5, ACTIVE: 9, PARKED: 3.2, HELPER: 1.4}, steal_s=2.4)
    shares = cpu_shares(before, after, parked=[PARKED], active=ACTIVE)
    assert shares["foreign_cpu_share"] == pytest.approx((8 - 4 - 0.4 - 2.6) / 8)
    assert shares["steal_cpu_share"] == pytest.approx(0.05)
    assert shares["parked_cpu_share"] == pytest.approx(0.3)  # the worker's 0.2 s and its helper's 0.4 s in 2 s
    assert shares["active_cpu_share"] == pytest.approx(1.0)


def test_a_helper_that_ended_within_the_block_is_counted_once() -> None:
    before = snapshot(0, 0, {MANAGER: 0, PARKED: 1, HELPER: 5})
    after = snapshot(1, 3, {MANAGER: 0, PARKED: 1 + 5.5})  # waited for: its 5.5 s are its parent's now
    shares = cpu_shares(before, after, parked=[PARKED], active=None)
    assert shares["parked_cpu_share"] == pytest.approx(0.5)
    assert shares["foreign_cpu_share"] == pytest.approx((4 - 3 - 0.5) / 4)


def test_a_parked_worker_that_vanished_is_unknown_not_quiet() -> None:
    before = snapshot(0, 0, {MANAGER: 0, PARKED: 1})
    after = snapshot(1, 4, {MANAGER: 0})
    assert cpu_shares(before, after, parked=[PARKED], active=None)["parked_cpu_share"] is None
    assert cpu_shares(before, after, parked=[], active=None)["parked_cpu_share"] == 0.0


def test_counters_too_coarse_for_a_short_block_give_no_foreign_share() -> None:
    before = snapshot(0, 0, {MANAGER: 0, PARKED: 0})
    after = snapshot(0.05, 0.1, {MANAGER: 0, PARKED: 0.01})
    shares = cpu_shares(before, after, parked=[PARKED], active=None)
    assert shares["foreign_cpu_share"] is None
    assert shares["parked_cpu_share"] == pytest.approx(0.2)


def test_shares_stay_between_zero_and_one_when_counters_round_up() -> None:
    before = snapshot(0, 0, {MANAGER: 0, ACTIVE: 0})
    after = snapshot(1, 3.01, {MANAGER: 0, ACTIVE: 1.0})
    assert cpu_shares(before, after, [], ACTIVE)["foreign_cpu_share"] == 0.0


# -- the record --------------------------------------------------------------------------------------------


def test_a_record_has_every_field_and_is_json(tmp_path: Path) -> None:
    clock = Clock()
    idle = snapshot(0, 0, {MANAGER: 0, ACTIVE: 0, PARKED: 0})
    busy = snapshot(1, 3, {MANAGER: 0, ACTIVE: 1, PARKED: 0})
    telemetry = Telemetry(cpu=FakeCpu(idle, idle, busy), host=HostGauges(tmp_path, tmp_path), clock=clock)
    token = telemetry.before([PARKED, None])
    clock.now = 1.0
    record = telemetry.after(token, ACTIVE)
    telemetry.close()
    assert set(FIELDS) <= set(record) <= {*FIELDS, "unreadable"}
    assert record["wall_s"] == 1.0
    assert (record["parked_cpu_share"], record["active_cpu_share"]) == (0.0, 1.0)
    assert record["cpu_mhz"] is None and record["cpu_temperature_c"] is None
    json.dumps(record, allow_nan=False)


def test_a_source_that_fails_is_named_and_the_others_are_there(tmp_path: Path) -> None:
    telemetry = Telemetry(cpu=FakeCpu(RuntimeError("no\nproc")), host=HostGauges(tmp_path, tmp_path))
    record = telemetry.after(telemetry.before([1]), None)
    assert record["unreadable"]["cpu"] == "RuntimeError: no proc"
    assert record["foreign_cpu_share"] is None
    assert (record["memory_available_mib"] or 0) > 0


# -- host gauges over a fake sysfs -------------------------------------------------------------------------


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def stat_line(pid: int, ppid: int, ticks: tuple[int, int, int, int] = (0, 0, 0, 0), cpu: int = 0) -> str:
    """A line of /proc/<pid>/stat; the command's name holds what a careless parser trips over."""
    fields = ["0"] * 50
    fields[0], fields[1], fields[36] = "S", str(ppid), str(cpu)
    fields[11:15] = [str(t) for t in ticks]
    return f"{pid} (a) (b c) {' '.join(fields)}\n"


def test_gauges_of_a_laptop_under_load(tmp_path: Path) -> None:
    sysfs, proc = tmp_path / "sys", tmp_path / "proc"
    write(
        sysfs,
        {
            "class/hwmon/hwmon0/name": "nvme\n",
            "class/hwmon/hwmon0/temp1_input": "99000\n",
            "class/hwmon/hwmon1/name": "k10temp\n",
            "class/hwmon/hwmon1/temp1_input": "71250\n",
            "devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": "3410000\n",
            "devices/system/cpu/cpu0/cpufreq/energy_performance_preference": "power\n",
            "devices/system/cpu/cpu0/topology/physical_package_id": "0\n",
            "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "7\n",
            "devices/system/cpu/cpu1/topology/physical_package_id": "0\n",
            "devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": "7\n",
            "fs/cgroup/user/cpu.stat": "usage_usec 5\nnr_throttled 2\nthrottled_usec 250000\n",
        },
    )
    write(proc, {"self/cgroup": "0::/user\n", f"{ACTIVE}/stat": stat_line(ACTIVE, 1, cpu=3)})
    gauges = HostGauges(sysfs, proc)
    reading = gauges.read(ACTIVE)
    assert reading["cpu_mhz"] == 3410.0
    assert reading["cpu_temperature_c"] == 71.25
    assert reading["low_power_mode"] is True
    counters = gauges.counters()
    assert counters.thermal_events == 7  # one package, not two CPUs
    assert counters.quota_throttled_s == 0.25


def test_cgroup_version_1_in_a_container(tmp_path: Path) -> None:
    sysfs, proc = tmp_path / "sys", tmp_path / "proc"
    write(sysfs, {"fs/cgroup/cpu/cpu.stat": "nr_periods 4\nnr_throttled 1\nthrottled_time 3000000000\n"})
    write(proc, {"self/cgroup": "3:cpuset:/\n1:cpu,cpuacct:/docker/abc\n"})
    assert HostGauges(sysfs, proc).counters().quota_throttled_s == 3.0


def test_throttling_counters_become_differences_over_the_block(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "self/cgroup": "0::/\n",
            "fs/cgroup/cpu.stat": "throttled_usec 100000\n",
            "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "7\n",
        },
    )
    clock = Clock()
    telemetry = Telemetry(cpu=FakeCpu(snapshot(0, 0, {})), host=HostGauges(tmp_path, tmp_path), clock=clock)
    token = telemetry.before([])
    clock.now = 2.0
    write(
        tmp_path,
        {
            "fs/cgroup/cpu.stat": "throttled_usec 600000\n",
            "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "10\n",
        },
    )
    record = telemetry.after(token, None)
    assert record["cpu_throttle_events"] == 3
    assert record["quota_throttled_share"] == pytest.approx(0.25)


def test_battery_and_power_mode_are_not_read_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    reads: list[float] = []
    clock = Clock()

    class Battery:
        power_plugged = False

    def sensors_battery() -> Battery:
        reads.append(clock.now)
        return Battery()

    monkeypatch.setattr(psutil, "sensors_battery", sensors_battery, raising=False)
    gauges = HostGauges(tmp_path, tmp_path, clock)
    for clock.now in (0.0, 1.0, 9.0, 11.0, 12.0):
        assert gauges.read(None)["on_battery"] is True
    assert reads == [0.0, 11.0]


def test_a_machine_without_a_battery_is_not_on_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    assert HostGauges(tmp_path, tmp_path).read(None)["on_battery"] is False


# -- Linux processes ---------------------------------------------------------------------------------------


@LINUX
def test_descendants_come_from_a_fake_proc_and_the_dead_are_forgotten(tmp_path: Path) -> None:
    me, child, grandchild, stranger = os.getpid(), 4_190_001, 4_190_002, 4_190_003  # above any live pid here
    tick = os.sysconf("SC_CLK_TCK")
    write(
        tmp_path,
        {
            "stat": f"cpu 0 0 0 {8 * tick} {2 * tick} 0 0 {3 * tick} 0 0\ncpu0 ...\n",
            "loadavg": "0.1 0.1 0.1 1/9 7\n",
            f"{me}/stat": stat_line(me, 1),
            f"{child}/stat": stat_line(child, me, (tick, tick, 2 * tick, 0)),
            f"{grandchild}/stat": stat_line(grandchild, child, (5 * tick, 0, 0, 0)),
            f"{stranger}/stat": stat_line(stranger, 1, (9 * tick, 0, 0, 0)),
        },
    )
    reader = LinuxCpuReader(tmp_path)
    first = reader.snapshot()
    assert set(first.used_s) == {me, child, grandchild}
    assert first.subtree_s(child) == pytest.approx(4 + 5)
    assert (first.idle_s, first.steal_s) == (10.0, 3.0)
    (tmp_path / str(grandchild) / "stat").unlink()
    assert reader.snapshot().subtree_s(grandchild) is None
