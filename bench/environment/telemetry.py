"""State of the machine around a timed block: one JSON-able record a block.

Taken in the manager's process before and after a block, never inside it, while every worker is parked:

    telemetry = Telemetry()
    token = telemetry.before(parked_pids)
    ...                                     # a worker runs its block
    record = telemetry.after(token, active_pid)
    telemetry.close()

Nothing raises. A figure that can't be read is None; a whole source that failed is named in `unreadable` with
its error. Shares are between 0 and 1; `parked_cpu_share` is CPU seconds per wall second and may exceed 1 (one
CPU is 1.0). Figures that are differences over the block: all shares, `average_power_w`,
`cpu_throttle_events`; the others are gauges read right after it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar, cast

from depthport.bench.environment.telemetry_cpu import CpuReader, CpuSnapshot, cpu_reader, cpu_shares
from depthport.bench.environment.telemetry_host import HostCounters, HostGauges
from depthport.bench.environment.telemetry_macos import MacPower
from depthport.bench.environment.telemetry_nvml import GpuCounters, Nvml, open_nvml
from depthport.bench.results.sections import Reading

T = TypeVar("T")

FIELDS = tuple(name for name in Reading.__annotations__ if name != "unreadable")
"""Keys of every record, present even where None; `unreadable` is present only if something failed."""


@dataclass(frozen=True)
class Token:
    """Readings taken before a block."""

    started_s: float
    parked: tuple[int, ...]
    cpu: CpuSnapshot | None
    host: HostCounters | None
    gpus: dict[int, GpuCounters] | None


class Telemetry:
    """Reads every source this machine has; the arguments replace sources in tests.

    `gpus` is False where nothing that is timed runs on one: asking a driver takes milliseconds a device, and a tenth of a
    second where others ask it too.
    """

    def __init__(
        self,
        cpu: CpuReader | None = None,
        host: HostGauges | None = None,
        nvml: Nvml | None = None,
        macos: MacPower | None = None,
        clock: Callable[[], float] = time.monotonic,
        gpus: bool = True,
    ) -> None:
        self._unreadable: dict[str, str] = {}
        self._clock = clock
        self._cpu = cpu or self._guarded("cpu", cpu_reader)
        self._host = host or self._guarded("host", HostGauges)
        self._nvml = nvml or (self._guarded("nvml", open_nvml) if gpus else None)
        self._macos = macos or (MacPower() if sys.platform == "darwin" else None)
        # The first snapshot reads every process on the machine once; later ones only what is new.
        if self._cpu is not None:
            self._guarded("cpu", self._cpu.snapshot)

    def before(self, parked_pids: Iterable[int | None] = ()) -> Token:
        """Read counters before a block in which the workers `parked_pids` must stay quiet."""
        parked = tuple(pid for pid in parked_pids if pid is not None)
        cpu, host, nvml = self._cpu, self._host, self._nvml
        counters = self._guarded("host", host.counters) if host is not None else None
        gpus = self._guarded("nvml", nvml.counters) if nvml is not None else None
        # Last, so that what the readings above cost is outside the interval.
        snapshot = self._guarded("cpu", lambda: cpu.snapshot(parked)) if cpu is not None else None
        return Token(self._clock(), parked, snapshot, counters, gpus)

    def after(self, token: Token, active_pid: int | None) -> Reading:
        """The record of the block that `token` began and the worker `active_pid` ran."""
        cpu, host, nvml, macos = self._cpu, self._host, self._nvml, self._macos
        wall_s = self._clock() - token.started_s
        roots = token.parked if active_pid is None else (*token.parked, active_pid)
        snapshot = self._guarded("cpu", lambda: cpu.snapshot(roots)) if cpu is not None else None
        record = cast(Reading, dict.fromkeys(FIELDS))
        record["wall_s"] = round(wall_s, 6)
        if token.cpu is not None and snapshot is not None:
            record |= cpu_shares(token.cpu, snapshot, token.parked, active_pid)
        if nvml is not None:
            ours = set(snapshot.used_s) if snapshot is not None else set(roots)
            record["gpus"] = self._guarded("nvml", lambda: nvml.read(token.gpus or {}, wall_s, ours))
        if host is not None:
            record |= self._guarded("host", lambda: host.read(active_pid)) or {}
            record |= _slowed(token.host, self._guarded("host", host.counters), wall_s)
        if macos is not None:
            record |= self._guarded("macos", macos.read) or {}
        if self._unreadable:
            record["unreadable"] = dict(self._unreadable)
        return record

    def close(self) -> None:
        """Let go of NVML; further records have no device figures."""
        if self._nvml is not None:
            self._guarded("nvml", self._nvml.close)
            self._nvml = None

    def _guarded(self, source: str, read: Callable[[], T]) -> T | None:
        """The reading, or None with its error noted: telemetry must never end a measurement."""
        try:
            value = read()
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a driver raises is a note
            self._unreadable[source] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return None
        self._unreadable.pop(source, None)
        return value


def _slowed(before: HostCounters | None, after: HostCounters | None, wall_s: float) -> Reading:
    """Throttling during the block, from the host's counters."""
    if before is None or after is None:
        return {}
    record: Reading = {}
    if before.thermal_events is not None and after.thermal_events is not None:
        record["cpu_throttle_events"] = max(0, after.thermal_events - before.thermal_events)
    if before.quota_throttled_s is not None and after.quota_throttled_s is not None and wall_s > 0:
        share = max(0.0, after.quota_throttled_s - before.quota_throttled_s) / wall_s
        record["quota_throttled_share"] = round(share, 4)
    return record
