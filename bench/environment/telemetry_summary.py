"""Many telemetry records into one: for a cell's row, and as the facts that advice is given on."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from depthport.bench.environment.telemetry_nvml import HARMFUL_REASONS
from depthport.bench.results.sections import GpuReading, Reading, Spread, Telemetry

FOREIGN_CPU_SHARE = 0.05
"""Share of the machine's CPU time that other processes may take before it is said."""
STEAL_SHARE = 0.02
THROTTLED_SHARE = 0.01
"""Share of a block's time held back that counts as throttled."""

_TAGS = ("index", "name")
_Share = Literal["foreign_cpu_share", "steal_cpu_share", "parked_cpu_share", "quota_throttled_share"]


@dataclass(frozen=True)
class MachineFacts:
    """Summary of the records of some blocks; None where no record has a value."""

    blocks: int = 0
    foreign_cpu_share: float | None = None
    """Share of the machine's CPU time that others used, over all the blocks' wall time."""
    steal_cpu_share: float | None = None
    parked_cpu_share: float | None = None
    """CPU seconds of all parked workers per second of the blocks' wall time."""
    throttled: Mapping[str, int] = field(default_factory=dict)
    """Number of blocks in which each cause held clocks down, most frequent first."""
    quota_throttled_share: float | None = None
    """Share of the blocks' wall time that the container's CPU quota held back."""
    on_battery: int = 0
    """Blocks on battery."""
    low_power: int = 0
    """Blocks in a low-power mode."""
    device_processes: int = 0
    """Most computing processes of others seen on one device."""
    device_processes_memory_mib: float | None = None
    device_utilization: float | None = None
    """Median of the busiest device, 0..1."""


def machine_facts(records: Iterable[Reading | None]) -> MachineFacts:
    """The facts of some blocks' records (`depthport.bench.environment.telemetry.Telemetry.after`)."""
    known = [record for record in records if record]
    causes = Counter(cause for record in known for cause in _throttle_causes(record))
    gpus = [gpu for record in known for gpu in record.get("gpus") or ()]
    nobody: GpuReading = {}
    crowded = max(gpus, key=lambda gpu: gpu.get("other_compute_processes") or 0, default=nobody)
    busy = [
        max(shares)
        for record in known
        if (shares := [s for gpu in record.get("gpus") or () if (s := gpu.get("utilization_percent")) is not None])
    ]
    return MachineFacts(
        blocks=len(known),
        foreign_cpu_share=_weighted(known, "foreign_cpu_share"),
        steal_cpu_share=_weighted(known, "steal_cpu_share"),
        parked_cpu_share=_weighted(known, "parked_cpu_share"),
        throttled=dict(sorted(causes.items(), key=lambda item: (-item[1], item[0]))),
        quota_throttled_share=_weighted(known, "quota_throttled_share"),
        on_battery=sum(record.get("on_battery") is True for record in known),
        low_power=sum(record.get("low_power_mode") is True for record in known),
        device_processes=crowded.get("other_compute_processes") or 0,
        device_processes_memory_mib=crowded.get("other_compute_memory_mib"),
        device_utilization=statistics.median(busy) / 100 if busy else None,
    )


def summarize_records(records: Iterable[Reading | None]) -> Telemetry | None:
    """`Cell.telemetry`: figures as {median, min, max}, flags and reasons as counts of blocks.

    Keys are the record's own; a figure that no record has is left out. None without records.
    """
    known = [record for record in records if record]
    if not known:
        return None
    summary: Telemetry = {"blocks": len(known), **_merged(known)}
    by_device: dict[int, list[GpuReading]] = {}
    for record in known:
        for gpu in record.get("gpus") or ():
            by_device.setdefault(gpu["index"], []).append(gpu)
    if by_device:
        summary["gpus"] = [
            {"index": index, "name": gpus[0].get("name"), **_merged(gpus)} for index, gpus in by_device.items()
        ]
    return summary


def _merged(records: Sequence[Mapping[str, object]]) -> dict[str, int | Spread]:
    merged: dict[str, int | Spread] = {}
    for name in dict.fromkeys(key for record in records for key in record if key not in _TAGS):
        values = [record[name] for record in records if record.get(name) is not None]
        flags = [value for value in values if isinstance(value, bool)]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        words = [value for value in values if isinstance(value, str)]
        if numbers:
            merged[name] = {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers)}
        elif flags:
            merged[f"{name}_blocks"] = sum(flags)
        elif words:
            merged[name] = dict(Counter(words))
        elif name == "throttle_reasons" and values:
            merged[name] = dict(Counter(str(one) for reasons in values if isinstance(reasons, list) for one in reasons))
        elif name == "unreadable" and values:
            merged[name] = {s: str(e) for errors in values if isinstance(errors, dict) for s, e in errors.items()}
    return merged


def _throttle_causes(record: Reading) -> set[str]:
    causes = set()
    if record.get("cpu_throttle_events"):
        causes.add("CPU heat or power limit")
    if (record.get("quota_throttled_share") or 0) > THROTTLED_SHARE:
        causes.add("CPU quota of the container")
    if record.get("thermal_pressure") not in (None, "nominal"):
        causes.add(f"thermal pressure {record['thermal_pressure']}")
    if (record.get("cpu_speed_limit_percent") or 100) < 100:
        causes.add("CPU speed limit")
    for gpu in record.get("gpus") or ():
        reasons = HARMFUL_REASONS & set(gpu.get("throttle_reasons") or ())
        causes |= {f"GPU {reason.replace('_', ' ')}" for reason in reasons}
        if (gpu.get("power_throttled_share") or 0) > THROTTLED_SHARE:
            causes.add("GPU power limit")
        if (gpu.get("thermal_throttled_share") or 0) > THROTTLED_SHARE:
            causes.add("GPU heat limit")
    return causes


def _weighted(records: Sequence[Reading], name: _Share) -> float | None:
    """Mean over the blocks' wall time."""
    pairs = [(share, wall) for r in records if (share := r.get(name)) is not None and (wall := r.get("wall_s"))]
    total = sum(wall for _, wall in pairs)
    return sum(share * wall for share, wall in pairs) / total if total > 0 else None
