"""Name a machine by its hardware, and by nothing that would name its owner.

Reads the `environment` of a results file, which may come from another version or be damaged: every field is optional.
Only the fields listed here enter a report; a host name, user name or path in the file is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from depthport.bench.statistics.figures import gib

UNNAMED = "unnamed machine"
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


def machine_of(environment: Mapping[str, object]) -> Machine:
    """The machine that an `environment` (bench/environment/environment.py) describes, as far as it does."""
    cpu, system, memory = (_mapping(environment.get(key)) for key in ("cpu", "system", "memory"))
    gpus, packages = environment.get("gpus"), _mapping(environment.get("packages"))
    usable_mib = _positive(memory.get("usable_mib"))
    python = _text(_mapping(environment.get("python")).get("version"))
    versions = {k: v for k, v in packages.items() if isinstance(v, str)}
    return Machine(
        cpu=_cpu(cpu),
        cores=_cores(cpu),
        memory_gib=None if usable_mib is None else usable_mib / 1024,
        system=_system(system),
        accelerators=tuple(_gpu(g) for g in gpus if isinstance(g, Mapping)) if isinstance(gpus, list) else (),
        versions={**({"python": python} if python else {}), **versions},
        label=_text(environment.get("machine")),
    )


def _cpu(cpu: Mapping[str, object]) -> str | None:
    """`AMD EPYC (Zen 3)`: the model, and the microarchitecture where its name does not say it."""
    model, core = _hardware(cpu.get("model")), _text(cpu.get("microarchitecture"))
    if model is None or core is None or core in model:
        return model
    return f"{model} ({core})"


def _cores(cpu: Mapping[str, object]) -> int | None:
    """Cores this process may use: those of its affinity, or fewer where its control group has a quota."""
    usable = _whole(cpu.get("usable_cores"))
    if usable is not None:
        return usable
    available = _whole(cpu.get("available_cores")) or _whole(cpu.get("logical_cores"))
    quota = _positive(cpu.get("quota_cores"))
    return available if quota is None or available is None else max(1, min(available, round(quota)))


def _system(system: Mapping[str, object]) -> str | None:
    name = _text(system.get("distribution")) or _text(system.get("os"))
    release = _text(system.get("release"))
    kernel = f"{_text(system.get('os')) or 'kernel'} {release}" if release else None
    return ", ".join(part for part in (name, kernel) if part) or None


def _gpu(data: Mapping[str, object]) -> Accelerator:
    memory_mib = _positive(data.get("memory_mib"))
    return Accelerator(
        kind=_text(data.get("kind")) or "gpu",
        name=_hardware(data.get("name")) or "unnamed accelerator",
        memory_gib=None if memory_mib is None else memory_mib / 1024,
        driver=_text(data.get("driver")),
        capability=_text(data.get("compute_capability")),
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value[:120] if isinstance(value, str) and value.strip() else None


def _hardware(value: object) -> str | None:
    text = _text(value)
    return None if text is None else " ".join(_NOISE.sub(" ", text).split()) or None


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _whole(value: object) -> int | None:
    number = _positive(value)
    return None if number is None else int(number)
