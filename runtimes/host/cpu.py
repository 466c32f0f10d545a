"""The CPU as runtimes and reports need it: its name, its instructions, and how much of it this process may use.

Linux: `/proc/cpuinfo`, the process's affinity and its control group. macOS: `sysctl`. Windows: the registry.
Parsing is apart from reading, so that it is tested with other machines' text.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from depthport.runtimes.host.threads import allowed_threads, cpu_quota

COMMAND_TIMEOUT_S = 3.0

# Instructions that decide which kernels a runtime picks: name in /proc/cpuinfo or sysctl, and the usual one.
_FEATURES = {
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "avx_vnni": "avx_vnni",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    "amx_fp16": "amx_fp16",
    "asimd": "neon",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
    "sme2": "sme2",
    "AdvSIMD": "neon",
    "FEAT_FP16": "fp16",
    "FEAT_DotProd": "dotprod",
    "FEAT_I8MM": "i8mm",
    "FEAT_BF16": "bf16",
    "FEAT_SME": "sme",
    "FEAT_SME2": "sme2",
}

# (vendor, family, first model, last model, name); as in Linux asm/intel-family.h and kernel/cpu/amd.c.
_X86 = (
    ("AuthenticAMD", 23, 0x00, 0x2F, "Zen"),
    ("AuthenticAMD", 23, 0x30, 0xFF, "Zen 2"),
    ("AuthenticAMD", 25, 0x00, 0x0F, "Zen 3"),
    ("AuthenticAMD", 25, 0x10, 0x1F, "Zen 4"),
    ("AuthenticAMD", 25, 0x20, 0x5F, "Zen 3"),
    ("AuthenticAMD", 25, 0x60, 0xAF, "Zen 4"),
    ("AuthenticAMD", 26, 0x00, 0xFF, "Zen 5"),
    ("GenuineIntel", 6, 63, 63, "Haswell"),
    ("GenuineIntel", 6, 79, 79, "Broadwell"),
    ("GenuineIntel", 6, 85, 85, "Skylake or Cascade Lake"),
    ("GenuineIntel", 6, 106, 108, "Ice Lake"),
    ("GenuineIntel", 6, 140, 141, "Tiger Lake"),
    ("GenuineIntel", 6, 143, 143, "Sapphire Rapids"),
    ("GenuineIntel", 6, 151, 154, "Alder Lake"),
    ("GenuineIntel", 6, 170, 170, "Meteor Lake"),
    ("GenuineIntel", 6, 173, 174, "Granite Rapids"),
    ("GenuineIntel", 6, 183, 191, "Raptor Lake"),
    ("GenuineIntel", 6, 207, 207, "Emerald Rapids"),
)
# (implementer, part) as in Linux arch/arm64/include/asm/cputype.h.
_ARM = {
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse N1",
    (0x41, 0xD40): "Neoverse V1",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD49): "Neoverse N2",
    (0x41, 0xD4F): "Neoverse V2",
    (0x41, 0xD84): "Neoverse V3",
}


@dataclass(frozen=True)
class Cpu:
    """Facts of the processor for reports."""

    model: str
    microarchitecture: str | None
    features: tuple[str, ...]
    logical_cores: int | None
    usable_cores: int
    """Physical cores that affinity and control group leave to this process (runtimes/host/threads.py)."""
    quota_cores: float | None
    """The control group's limit; None where there is none."""
    governor: str | None = None

    @property
    def label(self) -> str:
        """Name for people: `AMD EPYC (Zen 3)`."""
        return f"{self.model} ({self.microarchitecture})" if self.microarchitecture else self.model


# Without one of these a bf16 matmul is emulated in fp32 with conversions around it: slower than fp32, not faster.
_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# Without one of these four int8 products cost as much as fp32 ones, and on AVX2 their sums saturate.
_INT8 = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "dotprod", "i8mm"})


def has_bf16() -> bool:
    """Return whether the CPU multiplies bf16 in hardware (AVX512-BF16, AMX-BF16, Arm BF16)."""
    return not _BF16.isdisjoint(_hardware()[2])


def has_int8() -> bool:
    """Return whether the CPU sums int8 products in hardware (AVX512-VNNI, AVX-VNNI, AMX-INT8, Arm dot product)."""
    return not _INT8.isdisjoint(_hardware()[2])


def cpu_description() -> str:
    """Name and the number of cores this process may use."""
    threads = allowed_threads()
    return f"{_hardware()[0]}, {threads} core{'s' if threads != 1 else ''}"


def cpu_fingerprint() -> str:
    """Hex digest of the processor's name and instructions: what code compiled for it depends on."""
    name, _, features = _hardware()
    return hashlib.sha256("\n".join((platform.machine(), name, *features)).encode()).hexdigest()[:16]


@cache
def _hardware() -> tuple[str, str | None, tuple[str, ...]]:
    """Model, microarchitecture and features, which stay while the process runs."""
    if sys.platform == "darwin":
        model, architecture, features = _apple()
    elif sys.platform.startswith("linux"):
        model, architecture, features = parse_cpuinfo(read_text("/proc/cpuinfo") or "")
    else:
        model, architecture, features = _registry_name(), None, ()
    return model or platform.machine(), architecture, features


def describe_cpu() -> Cpu:
    """The processor of this machine; quick, imports nothing, never raises."""
    model, architecture, features = _hardware()
    return Cpu(
        model=model,
        microarchitecture=architecture,
        features=features,
        logical_cores=os.cpu_count(),
        usable_cores=allowed_threads(),
        quota_cores=cpu_quota(),
        governor=read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )


def parse_cpuinfo(text: str) -> tuple[str, str | None, tuple[str, ...]]:
    """Model name, microarchitecture and features from the first processor of `/proc/cpuinfo`."""
    first = text.strip().split("\n\n")[0]
    fields: dict[str, str] = {}
    for line in first.splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    features = feature_names((fields.get("flags") or fields.get("Features") or "").split())
    if "CPU part" in fields:
        part = int(fields.get("CPU implementer", "0"), 16), int(fields["CPU part"], 16)
        return _ARM.get(part, f"ARM part {part[1]:#x}"), None, features
    name = clean_model_name(fields.get("model name", ""))
    return name, _x86_microarchitecture(fields), features


def feature_names(flags: Iterable[str]) -> tuple[str, ...]:
    """Those of `flags` that decide which kernels run, by their usual names, in a fixed order."""
    present = set(flags)
    return tuple(dict.fromkeys(name for flag, name in _FEATURES.items() if flag in present))


def clean_model_name(name: str) -> str:
    """`Intel(R) Xeon(R) Platinum 8480C CPU @ 2.00GHz` → `Intel Xeon Platinum 8480C`."""
    name = re.sub(r"\((R|TM|r|tm)\)", "", name)
    name = re.sub(r"\s+(CPU\b.*|@.*|\d+-Core Processor.*|Processor)$", "", name)
    return " ".join(name.split())


def read_text(path: Path | str) -> str | None:
    """A small system file's text, or None where it is missing or not readable."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def command_output(*command: str) -> str | None:
    """Standard output of a quick system command; None if it is missing, fails or takes more than 3 s."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def _x86_microarchitecture(fields: dict[str, str]) -> str | None:
    try:
        vendor, family, model = fields["vendor_id"], int(fields["cpu family"]), int(fields["model"])
    except (KeyError, ValueError):
        return None
    for a_vendor, a_family, first, last, name in _X86:
        if (vendor, family) == (a_vendor, a_family) and first <= model <= last:
            return name
    return None


def _apple() -> tuple[str, str | None, tuple[str, ...]]:
    name = command_output("sysctl", "-n", "machdep.cpu.brand_string") or "Apple"
    listing = command_output("sysctl", "hw.optional") or ""
    flags = [line.split(":")[0].split(".")[-1] for line in listing.splitlines() if line.endswith(": 1")]
    leaf7 = command_output("sysctl", "-n", "machdep.cpu.leaf7_features") or ""
    return clean_model_name(name), None, feature_names([*flags, *leaf7.lower().split()])


def _registry_name() -> str:
    if sys.platform == "win32":
        import winreg

        key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return clean_model_name(str(winreg.QueryValueEx(opened, "ProcessorNameString")[0]))
    return clean_model_name(platform.processor())
