"""What macOS's own commands print, parsed."""

from __future__ import annotations

from collections.abc import Iterable

from depthport.bench.environment.telemetry_macos import (
    MacPower,
    parse_low_power_mode,
    parse_speed_limit,
    parse_thermal_pressure,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_macos_outputs_are_parsed() -> None:
    assert parse_thermal_pressure("com.apple.system.thermalpressurelevel 2\n") == "heavy"
    assert parse_thermal_pressure("com.apple.system.thermalpressurelevel 9\n") == "9"
    assert parse_thermal_pressure("") is None
    assert parse_speed_limit("CPU_Scheduler_Limit \t= 100\nCPU_Speed_Limit \t= 62\n") == 62
    assert parse_speed_limit("Note: No thermal warning level has been recorded\n") is None
    assert parse_low_power_mode("System-wide power settings:\n lowpowermode         1\n sleep 1\n") is True
    assert parse_low_power_mode(" lowpowermode         0\n") is False
    assert parse_low_power_mode(" sleep 1\n") is None


def test_macos_settings_are_read_again_only_after_ten_seconds() -> None:
    clock = Clock()
    commands: list[str] = []

    def run(command: Iterable[str]) -> str:
        commands.append(" ".join(command))
        return "com.apple.system.thermalpressurelevel 1" if "notifyutil" in commands[-1] else " lowpowermode 1"

    mac = MacPower(run, clock)
    for clock.now in (0.0, 5.0, 10.0):
        reading = mac.read()
        assert reading == {"thermal_pressure": "moderate", "cpu_speed_limit_percent": None, "low_power_mode": True}
    assert commands.count("pmset -g") == 2
    assert commands.count("pmset -g therm") == 3
