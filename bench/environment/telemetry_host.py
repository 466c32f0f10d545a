"""The host's gauges: clock, temperature, throttling counters, memory, power source.

Sensors are found once; a block then costs a handful of small file reads on Linux. What the system does not
*measure* is None: a nominal frequency (virtual machines, macOS) is not a clock. Power source and power mode
change rarely and can be slow to read (an embedded controller answers), so they are read again only after
:data:`SLOW_S`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from depthport.bench.results.sections import Reading

SLOW_S = 10.0
_MIB = 1 << 20
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "x86_pkg_temp")
"""hwmon names and thermal-zone types that are a CPU's temperature."""


@dataclass(frozen=True)
class HostCounters:
    """Cumulative counters of slow-downs imposed from outside; None where the system has none."""

    thermal_events: int | None
    """Times any CPU package was throttled for heat or power since boot."""
    quota_throttled_s: float | None
    """Seconds this cgroup's tasks were held back by its CPU quota."""


class HostGauges:
    """Reads the host; `sysfs` and `proc` are parameters for tests."""

    def __init__(
        self, sysfs: Path = Path("/sys"), proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sysfs = sysfs
        self._proc = proc
        self._clock = clock
        self._temperature = _cpu_temperature_file(sysfs)
        self._throttle_counts = _throttle_files(sysfs)
        self._quota = _quota_file(sysfs, proc)
        self._has_battery: bool | None = None
        self._slow: Reading = {}
        self._slow_read: float | None = None

    def counters(self) -> HostCounters:
        counts = [count for path in self._throttle_counts if (count := _number(path)) is not None]
        return HostCounters(sum(counts) if counts else None, self._quota_throttled_s())

    def read(self, active_pid: int | None) -> Reading:
        """Read the gauges.

        They are `cpu_mhz`, `cpu_temperature_c`, `load_average`, `memory_available_mib`, `active_rss_mib`, `on_battery`
        and `low_power_mode`.
        """
        millidegrees = _number(self._temperature) if self._temperature is not None else None
        return {
            "cpu_mhz": self._cpu_mhz(active_pid),
            "cpu_temperature_c": millidegrees / 1000 if millidegrees is not None else None,
            "load_average": _load_average(),
            "memory_available_mib": _memory_available_mib(),
            "active_rss_mib": _rss_mib(active_pid) if active_pid is not None else None,
            **self._slow_facts(),
        }

    def _cpu_mhz(self, pid: int | None) -> float | None:
        """Clock of the CPU the active worker's main thread last ran on (Linux with cpufreq only)."""
        if pid is None:
            return None
        try:
            stat = (self._proc / str(pid) / "stat").read_bytes()
            cpu = int(stat[stat.rindex(b")") + 2 :].split()[36])
        except (OSError, ValueError, IndexError):
            return None
        khz = _number(self._sysfs / f"devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq")
        return khz / 1000 if khz is not None else None

    def _quota_throttled_s(self) -> float | None:
        if self._quota is None:
            return None
        try:
            fields = dict(line.split() for line in self._quota.read_text().splitlines())
        except (OSError, ValueError):
            return None
        if "throttled_usec" in fields:  # cgroup v2
            return int(fields["throttled_usec"]) / 1e6
        return int(fields["throttled_time"]) / 1e9 if "throttled_time" in fields else None

    def _slow_facts(self) -> Reading:
        now = self._clock()
        if self._slow_read is None or now - self._slow_read >= SLOW_S:
            self._slow_read = now
            self._slow = {"on_battery": self._on_battery(), "low_power_mode": self._low_power_mode()}
        return self._slow

    def _on_battery(self) -> bool | None:
        """True while a battery supplies the power; False on mains and where there is no battery."""
        if self._has_battery is False:
            return False

        if not hasattr(psutil, "sensors_battery"):
            return None
        try:
            battery = psutil.sensors_battery()
        except (OSError, RuntimeError, ValueError):
            return None
        self._has_battery = battery is not None
        if battery is None:
            return False
        return None if battery.power_plugged is None else not battery.power_plugged

    def _low_power_mode(self) -> bool | None:
        """Linux: the firmware's platform profile or the CPU's energy preference asks to save power."""
        profile = _text(self._sysfs / "firmware/acpi/platform_profile")
        preference = _text(self._sysfs / "devices/system/cpu/cpu0/cpufreq/energy_performance_preference")
        if profile is None and preference is None:
            return None
        return profile in ("low-power", "quiet") or preference == "power"


def _load_average() -> float | None:
    """Load average of the last minute, in runnable tasks."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _memory_available_mib() -> float | None:
    try:
        found: float | None = round(psutil.virtual_memory().available / _MIB, 1)
        return found
    except (OSError, RuntimeError, psutil.Error):
        return None


def _rss_mib(pid: int) -> float | None:
    try:
        if sys.platform.startswith("linux"):  # psutil.Process reads more files than this one figure needs
            pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
            return round(pages * os.sysconf("SC_PAGE_SIZE") / _MIB, 1)
        return round(psutil.Process(pid).memory_info().rss / _MIB, 1)
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _cpu_temperature_file(sysfs: Path) -> Path | None:
    """The first sensor that is a CPU's: hwmon drivers first, thermal zones where there are none."""
    for folder in sorted((sysfs / "class/hwmon").glob("hwmon*")):
        if _text(folder / "name") in _CPU_SENSORS:
            inputs = sorted(folder.glob("temp*_input"))
            if inputs:
                return inputs[0]
    for folder in sorted((sysfs / "class/thermal").glob("thermal_zone*")):
        kind = _text(folder / "type") or ""
        if kind in _CPU_SENSORS or kind.lower().startswith("cpu"):
            return folder / "temp"
    return None


def _throttle_files(sysfs: Path) -> list[Path]:
    """One package throttle counter per CPU package (x86)."""
    files: dict[str, Path] = {}
    for folder in (sysfs / "devices/system/cpu").glob("cpu[0-9]*"):
        count = folder / "thermal_throttle/package_throttle_count"
        if count.exists():
            files.setdefault(_text(folder / "topology/physical_package_id") or "0", count)
    return list(files.values())


def _quota_file(sysfs: Path, proc: Path) -> Path | None:
    """`cpu.stat` of this process's cgroup, version 2 or 1; None where it has none."""
    root = sysfs / "fs/cgroup"
    candidates = []
    for line in (_text(proc / "self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        folder = "" if controllers == "" else "cpu"
        if controllers == "" or "cpu" in controllers.split(","):
            # Inside a container the cgroup's own folder is often mounted as the root.
            candidates += [root / folder / path.lstrip("/") / "cpu.stat", root / folder / "cpu.stat"]
    for candidate in candidates:
        if "throttled" in (_text(candidate) or ""):
            return candidate
    return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        return None
