"""Name a machine by its hardware, and by nothing that would name its owner.

Reads the `environment` of a results file, which may come from another version or be damaged: every field is
optional. Only the fields listed here enter a report; a host name, user name or path in the file is never
looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.report.figures import gib

UNNAMED = "unnamed machine"
_NOISE = re.compile(
    r"\((?:R|TM|C)\)|\bCPU\b|\b\d+-Core Processor\b|\bProcessor\b|@\s*[\d.]+\s*GHz", re.IGNORECASE
)


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

    @property
    def name(self) -> str:
        """The accelerators' names, else the CPU's with its cores: what people call the machine."""
        names = [a.name for a in self.accelerators]
        if names:
            counted = [f"{names.count(n)}× {n}" if names.count(n) > 1 else n for n in dict.fromkeys(names)]
            return " + ".join(counted)
        if self.cpu is None:
            return UNNAMED
        return self.cpu if self.cores is None else f"{self.cpu} ({self.cores} cores)"

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two runs runs of one machine: the hardware, not its system or versions."""
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


def machine_of(environment: Mapping[str, Any]) -> Machine:
    """The machine that an `environment` describes, as far as it does."""
    cpu = environment.get("cpu")
    name, cores = (cpu.get("name"), cpu.get("cores")) if isinstance(cpu, Mapping) else (cpu, None)
    versions = environment.get("versions")
    listed = environment.get("accelerators")
    return Machine(
        cpu=_hardware(name),
        cores=_whole(cores),
        memory_gib=_positive(environment.get("memory_gib")),
        system=_text(environment.get("os")),
        accelerators=tuple(_accelerator(a) for a in listed if isinstance(a, Mapping))
        if isinstance(listed, list)
        else (),
        versions={k: v for k, v in versions.items() if isinstance(v, str)}
        if isinstance(versions, Mapping)
        else {},
    )


def _accelerator(data: Mapping[str, Any]) -> Accelerator:
    return Accelerator(
        kind=_text(data.get("kind")) or "accelerator",
        name=_hardware(data.get("name")) or "unnamed accelerator",
        memory_gib=_positive(data.get("memory_gib")),
        driver=_text(data.get("driver")),
        capability=_text(data.get("capability")),
    )


def _text(value: Any) -> str | None:
    return value[:120] if isinstance(value, str) and value.strip() else None


def _hardware(value: Any) -> str | None:
    text = _text(value)
    return None if text is None else " ".join(_NOISE.sub(" ", text).split()) or None


def _positive(value: Any) -> float | None:
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
    )


def _whole(value: Any) -> int | None:
    number = _positive(value)
    return None if number is None else int(number)
