"""NVML figures from a fake driver: what it lacks is None, what it raises goes no further."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from depthport.bench.environment.telemetry import Telemetry
from depthport.bench.environment.telemetry_nvml import Nvml, decode_reasons, open_nvml

OURS, STRANGER, DESKTOP, CONTAINER_STRANGER = 11, 22, 33, 44
MIB = 1 << 20


class FakeNvml:
    """One device, a driver's answers as attributes; `missing` names the queries it does not support."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVML_PERF_POLICY_POWER, NVML_PERF_POLICY_THERMAL = 0, 1

    class NVMLError(Exception):
        pass

    def __init__(self, missing: set[str] = frozenset(), devices: int = 1) -> None:  # type: ignore[assignment]
        self.missing = missing
        self.devices = devices
        self.energy_mj = 1000
        self.violation_ns = {0: 0, 1: 0}
        self.compute = {OURS: 4000 * MIB}
        self.graphics = {DESKTOP: 100 * MIB}
        self.open = False

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvmlDevice") and name in object.__getattribute__(self, "missing"):
            error = object.__getattribute__(self, "NVMLError")

            def unsupported(*arguments: Any) -> None:
                raise error("Not Supported")

            return unsupported
        return object.__getattribute__(self, name)

    def nvmlInit(self) -> None:
        self.open = True

    def nvmlShutdown(self) -> None:
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        return self.devices

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, device: int) -> bytes:
        return f"GPU-{device}{device}{device}".encode()

    def nvmlDeviceGetName(self, device: int) -> bytes:
        return b"Fake 9000"

    def nvmlDeviceGetClockInfo(self, device: int, kind: int) -> int:
        return {1: 1980, 2: 2619}[kind]

    def nvmlDeviceGetCurrentClocksEventReasons(self, device: int) -> int:
        return 0x4 | 0x40

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, device: int) -> int:
        return 0x8

    def nvmlDeviceGetTemperature(self, device: int, sensor: int) -> int:
        return 71

    def nvmlDeviceGetPowerUsage(self, device: int) -> int:
        return 350_400

    def nvmlDeviceGetTotalEnergyConsumption(self, device: int) -> int:
        return self.energy_mj

    def nvmlDeviceGetViolationStatus(self, device: int, policy: int) -> Any:
        return SimpleNamespace(violationTime=self.violation_ns[policy])

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:
        return SimpleNamespace(used=5000 * MIB)

    def nvmlDeviceGetUtilizationRates(self, device: int) -> Any:
        return SimpleNamespace(gpu=97)

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.compute.items()]

    def nvmlDeviceGetGraphicsRunningProcesses(self, device: int) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.graphics.items()]


def read(nvml: Nvml, wall_s: float = 2.0, ours: tuple[int, ...] = (OURS,)) -> dict[str, Any]:
    (record,) = nvml.read(nvml.counters(), wall_s, ours)
    return {**record}


def test_a_block_on_a_device() -> None:
    driver = FakeNvml()
    nvml = Nvml(driver)
    before = nvml.counters()
    driver.energy_mj += 600_000
    driver.violation_ns = {0: 500_000_000, 1: 0}
    driver.compute[STRANGER] = 2000 * MIB
    (record,) = nvml.read(before, 2.0, {OURS})
    assert record == {
        "index": 0,
        "name": "Fake 9000",
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "temperature_c": 71,
        "average_power_w": 300.0,  # 600 J in 2 s
        "power_w": 350.4,
        "throttle_reasons": ["sw_power_cap", "hw_thermal_slowdown"],
        "power_throttled_share": 0.25,
        "thermal_throttled_share": 0.0,
        "memory_used_mib": 5000.0,
        "utilization_percent": 97,
        "other_processes": 2,
        "other_processes_memory_mib": 2100.0,
        "other_compute_processes": 1,
        "other_compute_memory_mib": 2000.0,
    }


def test_reasons_are_decoded_and_unknown_bits_kept() -> None:
    assert decode_reasons(0) == []
    assert decode_reasons(0x1 | 0x20) == ["gpu_idle", "sw_thermal_slowdown"]
    assert decode_reasons(0x8 | 0x1000) == ["hw_slowdown", "0x1000"]


def test_what_a_driver_lacks_is_none() -> None:
    everything = {name for name in dir(FakeNvml) if name.startswith("nvmlDeviceGet")}
    driver = FakeNvml(missing=everything - {"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"})
    record = read(Nvml(driver))
    assert record.pop("index") == 0
    assert set(record.values()) == {None}


def test_an_older_driver_names_throttle_reasons_by_their_older_query() -> None:
    assert read(Nvml(FakeNvml({"nvmlDeviceGetCurrentClocksEventReasons"})))["throttle_reasons"] == ["hw_slowdown"]


def test_memory_of_others_is_unknown_where_one_does_not_tell() -> None:
    driver = FakeNvml()
    driver.compute[STRANGER] = None  # type: ignore[assignment]
    record = read(Nvml(driver))
    assert record["other_compute_processes"] == 1
    assert record["other_compute_memory_mib"] is None


def test_pids_of_another_namespace_are_not_taken_for_strangers() -> None:
    driver = FakeNvml()
    driver.compute, driver.graphics = {}, {}
    nvml = Nvml(driver, shares_host_pids=False)
    assert read(nvml)["other_processes"] == 0
    driver.compute = {CONTAINER_STRANGER: MIB}  # may be ours under its host pid
    assert read(nvml)["other_processes"] is None
    driver.compute = {OURS: MIB, CONTAINER_STRANGER: MIB}  # ours is listed: the pids are of this namespace
    assert read(nvml)["other_processes"] == 1


def test_who_was_there_before_any_worker_is_a_stranger_in_any_namespace() -> None:
    driver = FakeNvml()
    driver.compute, driver.graphics = {CONTAINER_STRANGER: 7 * MIB}, {}
    nvml = Nvml(driver, shares_host_pids=False)
    driver.compute[99] = MIB
    record = read(nvml)
    assert (record["other_processes"], record["other_processes_memory_mib"]) == (1, 7.0)


@pytest.mark.parametrize(
    ("visible", "indices"),
    [(None, [0, 1, 2]), ("", [0, 1, 2]), ("1", [1]), ("2,0", [0, 2]), ("GPU-111", [1]), ("MIG-x", [0, 1, 2])],
)
def test_only_visible_devices_are_read(visible: str | None, indices: list[int]) -> None:
    nvml = Nvml(FakeNvml(devices=3), visible)
    assert [record["index"] for record in nvml.read({}, 1.0, ())] == indices


def test_a_record_takes_its_devices_and_close_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    telemetry = Telemetry()
    assert driver.open
    (gpu,) = telemetry.after(telemetry.before([]), None)["gpus"] or []
    assert gpu["name"] == "Fake 9000"
    telemetry.close()
    assert not driver.open
    assert telemetry.after(telemetry.before([]), None)["gpus"] is None


def test_without_a_driver_or_a_device_there_is_no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeNvml(devices=0)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert open_nvml() is None
    assert not driver.open
    monkeypatch.setattr(FakeNvml, "nvmlInit", lambda self: (_ for _ in ()).throw(driver.NVMLError("no driver")))
    assert open_nvml() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_nvml() is None


def test_gpus_are_not_asked_where_nothing_timed_runs_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    telemetry = Telemetry(gpus=False)
    assert not driver.open
    assert telemetry.after(telemetry.before([]), None)["gpus"] is None
