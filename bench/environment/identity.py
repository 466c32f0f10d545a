"""Name a machine by its hardware, and by nothing that would name its owner.

Reads the `environment` of a results file, which may come from another version: every field is optional. Only the fields
listed here enter a report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from depthport.bench.results.sections import CpuSection, Environment, GpuSection, SystemSection
from depthport.bench.statistics.figures import gib

UNNAMED = "unnamed machine"
Number = TypeVar("Number", int, float)
_NOISE = re.compile(r"\((?:R|TM|C)\)|\bCPU\b|\b\d+-Core Processor\b|\bProcessor\b|@\s*[\d.]+\s*GHz", re.IGNORECASE)


@dataclass(frozen=True)
class Accelerator:
    """One GPU or neural engine of a machine."""

    kind: str
    name: str
    memory_gib: float | None = None
    driver: str | None = None
    capability: str | None = None


@dataclass(frozen=True)
class Machine:
    """The hardware and system a run was made on."""

    cpu: str | None
    cores: int | None
    memory_gib: float | None
    system: str | None
    accelerators: tuple[Accelerator, ...]
    versions: Mapping[str, str]
    label: str | None = None
    """The run's own name for the hardware, where its parts are not known."""

    @property
    def name(self) -> str:
        """The accelerators' names, else the CPU's with its cores: what people call the machine."""
        names = [a.name for a in self.accelerators]
        if names:
            counted = [f"{names.count(n)}× {n}" if names.count(n) > 1 else n for n in dict.fromkeys(names)]
            return " + ".join(counted)
        if self.cpu is None:
            return self.label or UNNAMED
        return self.cpu if self.cores is None else f"{self.cpu}, {self.cores} core{'s' if self.cores != 1 else ''}"

    @property
    def key(self) -> tuple[str, ...]:
        """Identity of a machine across runs: its hardware, not its system or versions."""
        memory = "" if self.memory_gib is None else f"{round(self.memory_gib)}"
        return (self.name, self.cpu or "", str(self.cores or ""), memory)

    def facts(self) -> list[tuple[str, str]]:
        """Label and value of everything known, for a table."""
        rows = [("CPU", self.cpu), ("CPU cores", None if self.cores is None else str(self.cores))]
        rows.append(("Memory", None if self.memory_gib is None else gib(self.memory_gib)))
        for accelerator in self.accelerators:
            parts = [accelerator.name]
            if accelerator.memory_gib:
                parts.append(gib(accelerator.memory_gib))
            if accelerator.capability:
                parts.append(f"compute capability {accelerator.capability}")
            if accelerator.driver:
                parts.append(f"driver {accelerator.driver}")
            rows.append((accelerator.kind.upper(), ", ".join(parts)))
        rows.append(("System", self.system))
        return [(label, value) for label, value in rows if value]


def machine_of(environment: Environment) -> Machine:
    """The machine that an `environment` (bench/environment/environment.py) describes, as far as it does."""
    cpu = environment.get("cpu", {})
    usable_mib = _positive(environment.get("memory", {}).get("usable_mib"))
    python = _text(environment.get("python", {}).get("version"))
    return Machine(
        cpu=_cpu(cpu),
        cores=_cores(cpu),
        memory_gib=None if usable_mib is None else usable_mib / 1024,
        system=_system(environment.get("system", {})),
        accelerators=tuple(map(_gpu, environment.get("gpus", ()))),
        versions={**({"python": python} if python else {}), **environment.get("packages", {})},
        label=_text(environment.get("machine")),
    )


def _cpu(cpu: CpuSection) -> str | None:
    """`AMD EPYC (Zen 3)`: the model, and the microarchitecture where its name does not say it."""
    model, core = _hardware(cpu.get("model")), _text(cpu.get("microarchitecture"))
    if model is None or core is None or core in model:
        return model
    return f"{model} ({core})"


def _cores(cpu: CpuSection) -> int | None:
    """Cores this process may use: those of its affinity, or fewer where its control group has a quota."""
    usable = _positive(cpu.get("usable_cores"))
    if usable is not None:
        return usable
    available = _positive(cpu.get("available_cores")) or _positive(cpu.get("logical_cores"))
    quota = _positive(cpu.get("quota_cores"))
    return available if quota is None or available is None else max(1, min(available, round(quota)))


def _system(system: SystemSection) -> str | None:
    name = _text(system.get("distribution")) or _text(system.get("os"))
    release = _text(system.get("release"))
    kernel = f"{_text(system.get('os')) or 'kernel'} {release}" if release else None
    return ", ".join(part for part in (name, kernel) if part) or None


def _gpu(data: GpuSection) -> Accelerator:
    memory_mib = _positive(data.get("memory_mib"))
    return Accelerator(
        kind=_text(data.get("kind")) or "gpu",
        name=_hardware(data.get("name")) or "unnamed accelerator",
        memory_gib=None if memory_mib is None else memory_mib / 1024,
        driver=_text(data.get("driver")),
        capability=_text(data.get("compute_capability")),
    )


def _text(value: str | None) -> str | None:
    return value[:120] if value and value.strip() else None


def _hardware(value: str | None) -> str | None:
    text = _text(value)
    return None if text is None else " ".join(_NOISE.sub(" ", text).split()) or None


def _positive(value: Number | None) -> Number | None:
    return value if value is not None and value > 0 else None
