"""What this machine's CPU is and can do, without a framework."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from pathlib import Path

from depthport.runtimes.host.threads import allowed_threads

# Without one of these a bf16 matmul is emulated in fp32 with conversions around it: slower than fp32, not faster.
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# Without one of these four int8 products cost as much as fp32 ones, and on AVX2 their sums saturate.
_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


@cache
def cpu_name() -> str:
    """The processor's marketing name, e.g. `AMD EPYC 7763 64-Core Processor`."""
    return _cpuinfo("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()


def cpu_description() -> str:
    """Name and the number of cores this process may use."""
    threads = allowed_threads()
    return f"{cpu_name()}, {threads} core{'s' if threads != 1 else ''}"


@cache
def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware (AVX512-BF16, AMX-BF16, Arm BF16)."""
    flags = (_cpuinfo("flags") or _cpuinfo("Features") or "").split()
    return bool(_BF16_FLAGS.intersection(flags)) or _sysctl("hw.optional.arm.FEAT_BF16") == "1"


@cache
def has_int8() -> bool:
    """Whether the CPU sums int8 products in hardware (AVX512-VNNI, AVX-VNNI, AMX-INT8, Arm dot product)."""
    flags = (_cpuinfo("flags") or _cpuinfo("Features") or "").split()
    return bool(_INT8_FLAGS.intersection(flags)) or _sysctl("hw.optional.arm.FEAT_DotProd") == "1"


@cache
def cpu_fingerprint() -> str:
    """Hex digest of the processor's name and instruction sets: what code compiled for it depends on."""
    flags = " ".join(sorted((_cpuinfo("flags") or _cpuinfo("Features") or platform.machine()).split()))
    return hashlib.sha256(f"{cpu_name()}\n{flags}".encode()).hexdigest()[:16]


def _cpuinfo(field: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == field:
            return value.strip()
    return None


def _sysctl(name: str) -> str | None:
    if platform.system() != "Darwin":
        return None
    done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
