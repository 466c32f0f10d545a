"""macOS: thermal pressure, CPU speed limit and low-power mode, from `notifyutil` and `pmset`.

Each costs a few milliseconds as a subprocess, after a block and never in it. Levels are those of
`OSThermalNotification.h`; `pmset` is described in pmset(1).
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Sequence

from depthport.bench.results.sections import Reading

_LEVELS = ("nominal", "moderate", "heavy", "trapping", "sleeping")
_THERMAL = ("notifyutil", "-g", "com.apple.system.thermalpressurelevel")
_SPEED = ("pmset", "-g", "therm")
_SETTINGS = ("pmset", "-g")
_SLOW_S = 10.0

Run = Callable[[Sequence[str]], str]


def run_command(command: Sequence[str]) -> str:
    """Standard output of a command, empty if it failed or took over two seconds."""
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


class MacPower:
    """Causes of a Mac's slow-down that are readable without administrator rights."""

    def __init__(self, run: Run = run_command, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._settings_read: float | None = None
        self._low_power: bool | None = None

    def read(self) -> Reading:
        """Read what slows this Mac down.

        `thermal_pressure` (nominal, moderate, heavy, trapping, sleeping), `low_power_mode`, `cpu_speed_limit_percent`
        (Intel; None on Apple silicon).
        """
        now = self._clock()
        if self._settings_read is None or now - self._settings_read >= _SLOW_S:
            self._settings_read = now
            self._low_power = parse_low_power_mode(self._run(_SETTINGS))
        return {
            "thermal_pressure": parse_thermal_pressure(self._run(_THERMAL)),
            "cpu_speed_limit_percent": parse_speed_limit(self._run(_SPEED)),
            "low_power_mode": self._low_power,
        }


def parse_thermal_pressure(text: str) -> str | None:
    """Parse `com.apple.system.thermalpressurelevel 0`."""
    match = re.search(r"thermalpressurelevel\s+(\d+)", text)
    if match is None:
        return None
    level = int(match.group(1))
    return _LEVELS[level] if level < len(_LEVELS) else str(level)


def parse_speed_limit(text: str) -> int | None:
    """Parse the line `CPU_Speed_Limit = 100` of `pmset -g therm`; absent while nothing was ever recorded."""
    match = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", text)
    return int(match.group(1)) if match else None


def parse_low_power_mode(text: str) -> bool | None:
    """Parse the line `lowpowermode 1` (or, on some models, `powermode 1`) of `pmset -g`."""
    match = re.search(r"^\s*(?:lowpowermode|powermode)\s+(\d)", text, re.MULTILINE)
    return match.group(1) == "1" if match else None
