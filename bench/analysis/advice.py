"""Warnings as data: what was noticed, in one line with its figures, and what to do about it.

`cell_advice` and `run_advice` are pure: facts in, a list of :class:`Advice` out, in the order of
:class:`Code`. A cell is never dropped or changed for what is noticed here. Thresholds are constants with
their source; those without one are this project's choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from depthport.bench.analysis.advice_codes import Advice, Code
from depthport.bench.environment.telemetry_summary import FOREIGN_CPU_SHARE, STEAL_SHARE, MachineFacts
from depthport.bench.results.model import Control
from depthport.bench.statistics.samples import UNSTABLE_CV, is_unstable
from depthport.bench.statistics.steady_state import is_drifting

HOST_BOUND_SHARE = 0.80
"""Enqueue time over device time above which the host holds the device back (trtexec's warning)."""
BUSY_DEVICE = 0.95
"""A device this busy is not held back by the host, however long `run` takes to return."""
TRANSFER_RATIO = 1.5
"""Host boundary over device boundary from which moving data is what to improve."""
PARKED_CPU_SHARE = 0.01
"""CPU seconds per second that all parked workers together may use; a blocking read uses none."""
NOISE_FLOOR = 0.03
"""What the luck of a single process start leaves open on a quiet machine: a wider A/A interval is more than that."""
SLOW_SYNC_SHARE = 0.01
"""An empty synchronize over a call."""


class Repeatability(str, Enum):
    """Bit-for-bit repeatability of outputs for equal inputs."""

    SAME = "same"
    DIFFERS_BETWEEN_LAUNCHES = "differs between process starts"
    DIFFERS_WITHIN_LAUNCH = "differs within one process"


@dataclass(frozen=True)
class CellFacts:
    """Facts of a measured cell; None where unknown."""

    device: str
    device_ms: float | None = None
    """Median latency at the device boundary, calls grouped."""
    host_ms: float | None = None
    """Median latency at the host boundary."""
    enqueue_ms: float | None = None
    """Time until `run` returns; None where `run` itself waits for the device, which says nothing."""
    sync_ms: float | None = None
    """A synchronize with nothing to wait for."""
    cv: float | None = None
    drift_per_minute: float | None = None
    """Relative; None where it is not significant."""
    steady_state: bool = True
    fallback: Sequence[str] = ()
    """Operators or subgraphs that ran elsewhere (`Placement.fallback`)."""
    repeatability: Repeatability | None = None
    machine: MachineFacts = field(default_factory=MachineFacts)
    """Telemetry of this cell's own blocks."""


@dataclass(frozen=True)
class RunFacts:
    """Facts of a whole run."""

    controls: Mapping[str, Control] = field(default_factory=dict)
    """`aa` and `plus5`; empty where the protocol has none."""
    synthetic_weights: Sequence[str] = ()
    """Ids of weights that are synthetic."""
    relaunched: bool = False
    machine: MachineFacts = field(default_factory=MachineFacts)
    """Telemetry of all blocks."""


def cell_advice(facts: CellFacts) -> list[Advice]:
    """Return the advice on one cell."""
    found = _machine_advice(facts.machine)
    if not facts.steady_state:
        found.append(Advice.of(Code.NO_STEADY_STATE))
    if facts.cv is not None and is_unstable(facts.cv):
        found.append(Advice.of(Code.UNSTABLE, cv=f"{facts.cv:.1%}", limit=f"{UNSTABLE_CV:.1%}"))
    drift = facts.drift_per_minute
    if drift is not None and is_drifting(drift):
        found.append(Advice.of(Code.DRIFTING, direction="rose" if drift > 0 else "fell", drift=f"{abs(drift):.1%}"))
    if facts.repeatability not in (None, Repeatability.SAME):
        within = facts.repeatability is Repeatability.DIFFERS_WITHIN_LAUNCH
        found.append(Advice.of(Code.NOT_DETERMINISTIC, where="in one process" if within else "after a new process start"))
    if facts.fallback:
        found.append(Advice.of(Code.FALLBACK, device=facts.device, what=_listed(facts.fallback)))
    return _ordered(found + _boundary_advice(facts))


def run_advice(facts: RunFacts) -> list[Advice]:
    """Return the advice on the whole run, with which a report opens."""
    found = _control_advice(facts.controls)
    if facts.synthetic_weights:
        found.append(Advice.of(Code.SYNTHETIC_WEIGHTS, weights=_listed(facts.synthetic_weights)))
    if facts.relaunched:
        found.append(Advice.of(Code.MEMORY_RELAUNCH))
    machine = facts.machine
    if machine.parked_cpu_share is not None and machine.parked_cpu_share > PARKED_CPU_SHARE:
        found.append(Advice.of(Code.PARKED_NOISE, share=f"{machine.parked_cpu_share:.1%}"))
    if machine.on_battery:
        found.append(Advice.of(Code.ON_BATTERY, blocks=_blocks(machine.on_battery, machine.blocks)))
    if machine.low_power:
        found.append(Advice.of(Code.LOW_POWER, blocks=_blocks(machine.low_power, machine.blocks)))
    return _ordered(found + _machine_advice(machine))


def repeatability(outputs: Iterable[tuple[int, int, str]]) -> Repeatability | None:
    """Return whether (launch, input, digest of all outputs) repeat; None if no input was seen twice."""
    by_launch: dict[tuple[int, int], set[str]] = {}
    by_input: dict[int, set[str]] = {}
    seen: dict[int, int] = {}
    for launch, index, digest in outputs:
        by_launch.setdefault((launch, index), set()).add(digest)
        by_input.setdefault(index, set()).add(digest)
        seen[index] = seen.get(index, 0) + 1
    if any(len(digests) > 1 for digests in by_launch.values()):
        return Repeatability.DIFFERS_WITHIN_LAUNCH
    if any(len(digests) > 1 for digests in by_input.values()):
        return Repeatability.DIFFERS_BETWEEN_LAUNCHES
    return Repeatability.SAME if any(count > 1 for count in seen.values()) else None


def _boundary_advice(facts: CellFacts) -> list[Advice]:
    found = []
    device_ms, host_ms, busy = facts.device_ms, facts.host_ms, facts.machine.device_utilization
    if device_ms is None or device_ms <= 0:
        return []
    # On the CPU `run` is the work itself; a device that is always busy waits for nobody.
    if facts.enqueue_ms is not None and facts.device != "cpu" and (busy is None or busy < BUSY_DEVICE):
        share = facts.enqueue_ms / device_ms
        if share > HOST_BOUND_SHARE:
            found.append(Advice.of(Code.HOST_BOUND, share=f"{min(share, 1.0):.0%}"))
    if host_ms is not None and host_ms >= TRANSFER_RATIO * device_ms:
        found.append(Advice.of(Code.TRANSFER_BOUND, ratio=f"{host_ms / device_ms:.1f}"))
    if facts.sync_ms is not None and facts.sync_ms > SLOW_SYNC_SHARE * device_ms:
        share = facts.sync_ms / device_ms
        found.append(Advice.of(Code.SLOW_SYNC, sync=f"{facts.sync_ms:.2g} ms", share=f"{share:.1%}"))
    return found


def _machine_advice(machine: MachineFacts) -> list[Advice]:
    found = []
    if machine.throttled:
        causes = [f"{cause} in {_blocks(n, machine.blocks)}" for cause, n in machine.throttled.items()]
        found.append(Advice.of(Code.THROTTLED, causes=", ".join(causes)))
    others = []
    if machine.foreign_cpu_share is not None and machine.foreign_cpu_share > FOREIGN_CPU_SHARE:
        others.append(f"other processes took {machine.foreign_cpu_share:.0%} of the CPUs")
    if machine.steal_cpu_share is not None and machine.steal_cpu_share > STEAL_SHARE:
        others.append(f"the hypervisor gave {machine.steal_cpu_share:.0%} of the CPUs to other guests")
    if machine.device_processes:
        memory = machine.device_processes_memory_mib
        size = f" with {memory:.0f} MiB" if memory else ""
        plural = "" if machine.device_processes == 1 else "es"
        others.append(f"{machine.device_processes} other process{plural}{size} on the device")
    if others:
        found.append(Advice.of(Code.FOREIGN_PROCESS, causes=", ".join(others)))
    return found


def _control_advice(controls: Mapping[str, Control]) -> list[Advice]:
    found = []
    for name, what in (("aa", "the same cell against itself"), ("plus5", "the same cell delayed by 5 %")):
        control = controls.get(name)
        if control is not None and not (control.ok or control.undecided):
            detail = f"{what} is {control.verdict}, expected {control.expected}"
            found.append(Advice.of(Code.CONTROL_FAILED, detail=detail))
    aa = controls.get("aa")
    if aa is not None and aa.ci95 is not None:
        low, high = aa.ci95
        if max(1 - low, high - 1) > NOISE_FLOOR:
            found.append(Advice.of(Code.NOISE_FLOOR, interval=f"{low - 1:+.1%} to {high - 1:+.1%}"))
    return found


def _ordered(found: list[Advice]) -> list[Advice]:
    order = list(Code)
    return sorted(found, key=lambda advice: order.index(advice.code))


def _blocks(some: int, every: int) -> str:
    return "every block" if some >= every else f"{some} of {every} blocks"


def _listed(names: Sequence[str], limit: int = 3) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
