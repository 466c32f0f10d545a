"""Every code is given exactly when its fact is there, and says its figures in one line."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest

from depthport.bench.analysis.advice import CellFacts, Repeatability, RunFacts, cell_advice, repeatability, run_advice
from depthport.bench.analysis.advice_codes import TEXTS, Advice, Code
from depthport.bench.environment.telemetry_summary import MachineFacts, machine_facts, summarize_records
from depthport.bench.results.model import Control
from depthport.bench.results.sections import GpuReading, Reading

GOOD_CELL = CellFacts(
    device="cuda",
    device_ms=20.0,
    host_ms=22.0,
    enqueue_ms=2.0,
    sync_ms=0.01,
    cv=0.01,
    repeatability=Repeatability.SAME,
    machine=MachineFacts(blocks=10, foreign_cpu_share=0.01, parked_cpu_share=0.0),
)
GOOD_CONTROLS = {
    "aa": Control(1.001, (0.995, 1.006), "equivalent", "equivalent", True),
    "plus5": Control(0.952, (0.947, 0.957), "slower", "slower", True),
}
GOOD_RUN = RunFacts(controls=GOOD_CONTROLS, machine=MachineFacts(blocks=40, parked_cpu_share=0.0))


def machine(**facts: Any) -> MachineFacts:
    return MachineFacts(blocks=10, **facts)


def test_nothing_is_said_of_what_is_well_or_unknown() -> None:
    assert cell_advice(GOOD_CELL) == []
    assert cell_advice(CellFacts(device="cpu")) == []
    assert run_advice(GOOD_RUN) == []
    assert run_advice(RunFacts()) == []


@pytest.mark.parametrize(
    ("code", "changes", "words"),
    [
        (Code.HOST_BOUND, {"enqueue_ms": 17.0}, "85%"),
        (Code.TRANSFER_BOUND, {"host_ms": 44.0}, "2.2 times"),
        (Code.SLOW_SYNC, {"sync_ms": 0.5}, "0.5 ms, 2.5%"),
        (Code.UNSTABLE, {"cv": 0.031}, "3.1%"),
        (Code.DRIFTING, {"drift_per_minute": -0.02}, "fell by 2.0%"),
        (Code.DRIFTING, {"drift_per_minute": 0.02}, "rose by 2.0%"),
        (Code.NO_STEADY_STATE, {"steady_state": False}, "not settled"),
        (Code.NOT_DETERMINISTIC, {"repeatability": Repeatability.DIFFERS_BETWEEN_LAUNCHES}, "after a new process start"),
        (Code.NOT_DETERMINISTIC, {"repeatability": Repeatability.DIFFERS_WITHIN_LAUNCH}, "in one process"),
        (Code.FALLBACK, {"fallback": ("Argmin", "Gather", "Tan", "Exp")}, "Argmin, Gather, Tan and 1 more"),
        (Code.THROTTLED, {"machine": machine(throttled={"GPU power limit": 10})}, "limit in every block"),
        (Code.THROTTLED, {"machine": machine(throttled={"GPU heat limit": 3})}, "in 3 of 10 blocks"),
        (Code.FOREIGN_PROCESS, {"machine": machine(foreign_cpu_share=0.3)}, "took 30% of the CPUs"),
        (Code.FOREIGN_PROCESS, {"machine": machine(steal_cpu_share=0.1)}, "other guests"),
        (
            Code.FOREIGN_PROCESS,
            {"machine": machine(device_processes=1, device_processes_memory_mib=512.0)},
            "1 other process with 512 MiB on the device",
        ),
    ],
)
def test_one_fact_gives_one_advice(code: Code, changes: dict[str, Any], words: str) -> None:
    (advice,) = cell_advice(replace(GOOD_CELL, **changes))
    assert advice.code is code
    assert words in advice.message


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"device": "cpu"}, "on a CPU run() is the work"),
        ({"machine": machine(device_utilization=0.99)}, "the device is busy: run() waits for it"),
        ({"enqueue_ms": None}, "nobody measured it"),
        ({"enqueue_ms": 16.0}, "exactly 80 %"),
    ],
)
def test_host_bound_is_not_said_without_cause(changes: dict[str, Any], why: str) -> None:
    facts = replace(GOOD_CELL, **{"enqueue_ms": 19.9, **changes})
    assert cell_advice(facts) == [], why


@pytest.mark.parametrize(
    ("code", "changes", "words"),
    [
        (Code.SYNTHETIC_WEIGHTS, {"synthetic_weights": ("synthetic:0",)}, "synthetic:0"),
        (Code.MEMORY_RELAUNCH, {"relaunched": True}, "restarted"),
        (Code.PARKED_NOISE, {"machine": machine(parked_cpu_share=0.4)}, "40.0% of a CPU"),
        (Code.ON_BATTERY, {"machine": machine(on_battery=10)}, "every block"),
        (Code.LOW_POWER, {"machine": machine(low_power=2)}, "2 of 10 blocks"),
        (Code.THROTTLED, {"machine": machine(throttled={"CPU speed limit": 1})}, "1 of 10"),
    ],
)
def test_one_fact_about_the_run_gives_one_advice(code: Code, changes: dict[str, Any], words: str) -> None:
    (advice,) = run_advice(replace(GOOD_RUN, **changes))
    assert advice.code is code
    assert words in advice.message


def test_failed_controls_come_first_and_say_which() -> None:
    controls = {
        "aa": Control(0.96, (0.95, 0.97), "slower", "equivalent", False),
        "plus5": Control(0.99, (0.93, 1.04), "inconclusive", "slower", False),
    }
    found = run_advice(RunFacts(controls=controls, synthetic_weights=("synthetic:0",)))
    codes = [advice.code for advice in found]
    assert codes == [Code.CONTROL_FAILED, Code.NOISE_FLOOR, Code.SYNTHETIC_WEIGHTS], "too short to tell is not wrong"
    assert "against itself is slower, expected equivalent" in found[0].message
    assert "-5.0% to -3.0%" in found[1].message


def test_a_wide_aa_interval_is_the_noise_floor_though_the_control_holds() -> None:
    wide = {**GOOD_CONTROLS, "aa": Control(1.0, (0.97, 1.03), "inconclusive", "equivalent", True)}
    assert [a.code for a in run_advice(replace(GOOD_RUN, controls=wide))] == [Code.NOISE_FLOOR]


def test_json_is_what_results_hold() -> None:
    (advice,) = cell_advice(replace(GOOD_CELL, cv=0.5))
    assert advice.to_json() == {"code": "unstable", "message": advice.message, "advice": advice.advice}


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_message_and_an_advice_of_one_line(code: Code) -> None:
    message, advice = TEXTS[code]
    fields = {name for _, name, _, _ in string.Formatter().parse(message) if name}
    filled = Advice.of(code, **dict.fromkeys(fields, "x"))
    for text in (filled.message, advice):
        assert text and "\n" not in text and "{" not in text and not text.endswith(".")


# -- repeatability -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([], None),
        ([(0, 0, "a"), (0, 1, "b")], None),
        ([(0, 0, "a"), (0, 1, "b"), (1, 0, "a")], Repeatability.SAME),
        ([(0, 0, "a"), (1, 0, "c")], Repeatability.DIFFERS_BETWEEN_LAUNCHES),
        ([(0, 0, "a"), (0, 0, "c"), (1, 0, "a")], Repeatability.DIFFERS_WITHIN_LAUNCH),
    ],
)
def test_repeatability(outputs: list[tuple[int, int, str]], expected: Repeatability | None) -> None:
    assert repeatability(outputs) is expected


# -- from telemetry records to facts -------------------------------------------------------------------------

GPU: GpuReading = {
    "index": 0,
    "name": "GPU",
    "sm_clock_mhz": 1980,
    "throttle_reasons": ["gpu_idle"],
    "utilization_percent": 98,
    "other_compute_processes": 0,
    "power_throttled_share": 0.0,
}
RECORD: Reading = {
    "wall_s": 1.0,
    "foreign_cpu_share": 0.0,
    "parked_cpu_share": 0.0,
    "cpu_mhz": None,
    "on_battery": False,
    "thermal_pressure": "nominal",
    "cpu_throttle_events": 0,
    "gpus": [GPU],
}


def test_shares_are_weighted_by_wall_time() -> None:
    long_and_busy: Reading = {**RECORD, "wall_s": 3.0, "foreign_cpu_share": 0.4, "parked_cpu_share": None}
    facts = machine_facts([RECORD, None, long_and_busy])
    assert facts.blocks == 2
    assert facts.foreign_cpu_share == pytest.approx(0.3)
    assert facts.parked_cpu_share == 0.0
    assert facts.device_utilization == pytest.approx(0.98)
    assert facts.throttled == {}


def test_throttle_causes_are_counted_in_blocks() -> None:
    hot: GpuReading = {**GPU, "throttle_reasons": ["sw_power_cap", "gpu_idle"], "thermal_throttled_share": 0.2}
    records: list[Reading] = [
        {**RECORD, "gpus": [hot, hot]},
        {**RECORD, "gpus": [hot], "cpu_throttle_events": 4},
        {**RECORD, "thermal_pressure": "heavy", "quota_throttled_share": 0.5, "cpu_speed_limit_percent": 60},
    ]
    assert machine_facts(records).throttled == {
        "GPU heat limit": 2,
        "GPU sw power cap": 2,
        "CPU heat or power limit": 1,
        "CPU quota of the container": 1,
        "CPU speed limit": 1,
        "thermal pressure heavy": 1,
    }


def test_others_on_the_device_and_power_source() -> None:
    crowded: GpuReading = {**GPU, "other_compute_processes": 2, "other_compute_memory_mib": 700.0}
    unplugged: Reading = {**RECORD, "on_battery": True, "low_power_mode": True, "gpus": [GPU, crowded]}
    facts = machine_facts([RECORD, unplugged])
    assert (facts.device_processes, facts.device_processes_memory_mib) == (2, 700.0)
    assert (facts.on_battery, facts.low_power) == (1, 1)


def test_records_are_summarized_for_a_row() -> None:
    second: Reading = {**RECORD, "wall_s": 3.0, "on_battery": True, "gpus": [{**GPU, "sm_clock_mhz": 1700}]}
    summary = summarize_records([RECORD, second])
    assert summary is not None
    assert summary["blocks"] == 2
    assert summary["wall_s"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert summary["on_battery_blocks"] == 1
    assert summary["thermal_pressure"] == {"nominal": 2}
    assert "cpu_mhz" not in summary
    gpus: Any = summary["gpus"]
    (gpu,) = gpus
    assert (gpu["index"], gpu["name"]) == (0, "GPU")
    assert gpu["sm_clock_mhz"] == {"median": 1840.0, "min": 1700, "max": 1980}
    assert gpu["throttle_reasons"] == {"gpu_idle": 2}
    assert summarize_records([None]) is None
