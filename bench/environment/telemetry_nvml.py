"""NVIDIA devices, through NVML: `nvidia-ml-py`, imported lazily; without it there are no figures.

Counters that accumulate are preferred to gauges, because a gauge read after a block shows the idle device:
power is the energy used during the block over its wall time, throttling is the time the driver says it held
clocks down. Reference: NVML API reference, "Device Queries" (docs.nvidia.com/deploy/nvml-api).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from depthport.bench.results.sections import GpuReading
from depthport.exporters.core.nvidia import nvml_text

_MIB = 1 << 20
_INIT_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h

CLOCK_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
"""`nvmlClocksEventReason*` of nvml.h by bit."""

HARMFUL_REASONS = frozenset(
    {"sw_power_cap", "hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown"}
)
"""Reasons that mean the device ran slower than it could; idle and chosen clocks are not among them."""


def decode_reasons(mask: int) -> list[str]:
    """Names of the bits set; an unknown bit is named by its value."""
    names = [name for bit, name in CLOCK_REASONS.items() if mask & bit]
    unknown = mask & ~sum(CLOCK_REASONS)
    return [*names, hex(unknown)] if unknown else names


@dataclass(frozen=True)
class GpuCounters:
    """Cumulative counters of one device; None where it has none."""

    energy_mj: int | None
    power_violation_ns: int | None
    thermal_violation_ns: int | None


@dataclass(frozen=True)
class GpuProcess:
    """A process on a device."""

    used_bytes: int | None
    computes: bool
    """False: it only draws (a desktop's compositor), as far as the driver tells."""


class Nvml:
    """The devices this process may see. `open_nvml` makes one; nothing raises afterwards."""

    def __init__(self, nvml: Any, visible: str | None = None, shares_host_pids: bool = True) -> None:
        self._nvml = nvml
        self._shares_host_pids = shares_host_pids
        self._devices = self._visible_devices(visible)
        # A process that exists before any worker started is not ours, whatever namespace its pid is from.
        self._strangers = {i: set(self._processes(device) or {}) for i, device in self._devices.items()}

    def __len__(self) -> int:
        return len(self._devices)

    def counters(self) -> dict[int, GpuCounters]:
        return {index: self._counters(device) for index, device in self._devices.items()}

    def read(self, before: dict[int, GpuCounters], wall_s: float, ours: Collection[int]) -> list[GpuReading]:
        """One record a device; `before` is from :meth:`counters`, `ours` the pids that are not strangers."""
        return [self._read(i, device, before.get(i), wall_s, ours) for i, device in self._devices.items()]

    def close(self) -> None:
        self._ask("nvmlShutdown")
        self._devices = {}

    def _read(
        self, index: int, device: Any, before: GpuCounters | None, wall_s: float, ours: Collection[int]
    ) -> GpuReading:
        nvml = self._nvml
        # Clocks and reasons first: they fall back soonest once the device is idle.
        sm_clock = self._ask("nvmlDeviceGetClockInfo", device, nvml.NVML_CLOCK_SM)
        memory_clock = self._ask("nvmlDeviceGetClockInfo", device, nvml.NVML_CLOCK_MEM)
        mask = self._ask("nvmlDeviceGetCurrentClocksEventReasons", device)
        if mask is None:  # drivers before 535
            mask = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", device)
        now = self._counters(device)
        milliwatts = self._ask("nvmlDeviceGetPowerUsage", device)
        memory = self._ask("nvmlDeviceGetMemoryInfo", device)
        utilization = self._ask("nvmlDeviceGetUtilizationRates", device)
        others = self._others(index, self._processes(device), ours)
        computing = [p for p in others.values() if p.computes] if others is not None else None
        energy = _difference(before, now, "energy_mj")
        average_w = energy / 1000 / wall_s if energy is not None and wall_s > 0 else None
        return {
            "index": index,
            "name": self._name(device),
            "sm_clock_mhz": sm_clock,
            "memory_clock_mhz": memory_clock,
            "temperature_c": self._ask("nvmlDeviceGetTemperature", device, nvml.NVML_TEMPERATURE_GPU),
            "average_power_w": round(average_w, 1) if average_w is not None else None,
            "power_w": round(milliwatts / 1000, 1) if milliwatts is not None else None,
            "throttle_reasons": decode_reasons(mask) if mask is not None else None,
            "power_throttled_share": _time_share(_difference(before, now, "power_violation_ns"), wall_s),
            "thermal_throttled_share": _time_share(_difference(before, now, "thermal_violation_ns"), wall_s),
            "memory_used_mib": round(memory.used / _MIB, 1) if memory is not None else None,
            "utilization_percent": utilization.gpu if utilization is not None else None,
            "other_processes": len(others) if others is not None else None,
            "other_processes_memory_mib": _memory_mib(others.values()) if others is not None else None,
            "other_compute_processes": len(computing) if computing is not None else None,
            "other_compute_memory_mib": _memory_mib(computing) if computing is not None else None,
        }

    def _counters(self, device: Any) -> GpuCounters:
        power = self._ask("nvmlDeviceGetViolationStatus", device, self._nvml.NVML_PERF_POLICY_POWER)
        thermal = self._ask("nvmlDeviceGetViolationStatus", device, self._nvml.NVML_PERF_POLICY_THERMAL)
        return GpuCounters(
            self._ask("nvmlDeviceGetTotalEnergyConsumption", device),
            power.violationTime if power is not None else None,
            thermal.violationTime if thermal is not None else None,
        )

    def _others(
        self, index: int, found: dict[int, GpuProcess] | None, ours: Collection[int]
    ) -> dict[int, GpuProcess] | None:
        """Return those processes of a device that are not ours; None if unknown.

        In a container NVML may report pids of the host's namespace, where ours are called something else.
        """
        if found is None:
            return None
        if not found or self._shares_host_pids or found.keys() & set(ours):
            return {pid: process for pid, process in found.items() if pid not in ours}
        return {pid: process for pid, process in found.items() if pid in self._strangers[index]} or None

    def _processes(self, device: Any) -> dict[int, GpuProcess] | None:
        """Every process on the device by pid; None where the driver does not tell."""
        compute = self._ask("nvmlDeviceGetComputeRunningProcesses", device)
        graphics = self._ask("nvmlDeviceGetGraphicsRunningProcesses", device)
        if compute is None and graphics is None:
            return None
        found = {p.pid: GpuProcess(p.usedGpuMemory, computes=False) for p in graphics or ()}
        return found | {p.pid: GpuProcess(p.usedGpuMemory, computes=True) for p in compute or ()}

    def _name(self, device: Any) -> str | None:
        name = self._ask("nvmlDeviceGetName", device)
        return name.decode() if isinstance(name, bytes) else name

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Call NVML; None for what this driver or device does not support."""
        call: Callable[..., Any] | None = getattr(self._nvml, function, None)
        if call is None:
            return None
        try:
            return call(*arguments)
        except self._nvml.NVMLError:
            return None

    def _visible_devices(self, visible: str | None) -> dict[int, Any]:
        """Handles by NVML index, of those that `CUDA_VISIBLE_DEVICES` names if it names any.

        CUDA numbers devices by speed unless `CUDA_DEVICE_ORDER=PCI_BUS_ID`, NVML by bus: with unlike devices
        an index in `visible` may mean another one here; a UUID never does.
        """
        devices = {}
        for index in range(self._ask("nvmlDeviceGetCount") or 0):
            device = self._ask("nvmlDeviceGetHandleByIndex", index)
            if device is not None:
                devices[index] = device
        wanted = [entry.strip() for entry in (visible or "").split(",") if entry.strip()]
        chosen = {i: d for i, d in devices.items() if any(self._is(i, d, entry) for entry in wanted)}
        return chosen or devices

    def _is(self, index: int, device: Any, entry: str) -> bool:
        if entry.isdigit():
            return int(entry) == index
        return nvml_text(self._ask("nvmlDeviceGetUUID", device) or "").startswith(entry)


def open_nvml() -> Nvml | None:
    """NVML if its Python binding, a driver and a device are here, else None."""
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    devices = Nvml(nvml, os.environ.get("CUDA_VISIBLE_DEVICES"), _shares_host_pids())
    if not len(devices):
        devices.close()
        return None
    return devices


def _shares_host_pids() -> bool:
    """Return whether pids mean the same to this process as to the driver; only a Linux container's do not."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == _INIT_PID_NAMESPACE
    except OSError:
        return True


def _difference(before: GpuCounters | None, now: GpuCounters, name: str) -> int | None:
    first, last = getattr(before, name, None), getattr(now, name)
    return last - first if first is not None and last is not None and last >= first else None


def _time_share(nanoseconds: int | None, wall_s: float) -> float | None:
    if nanoseconds is None or wall_s <= 0:
        return None
    return round(min(1.0, nanoseconds / 1e9 / wall_s), 4)


def _memory_mib(processes: Collection[GpuProcess]) -> float | None:
    """Their memory together; None if one of them does not tell."""
    sizes = [process.used_bytes for process in processes]
    return None if None in sizes else round(sum(size or 0 for size in sizes) / _MIB, 1)
