"""Environment of a measurement: hardware, system and versions, and nothing that names a person or a place.

No host name, user name or path is recorded. No framework is imported: versions come from installed metadata.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import msgspec
import psutil

from depthport.bench.results.sections import CpuSection, Environment, GpuSection, PowerSection, SystemSection
from depthport.exporters.core.nvidia import Gpu, nvidia_gpus
from depthport.exporters.core.provenance import package_version
from depthport.exporters.registry import installed_exporters
from depthport.runtimes.host.cpu import Cpu, command_output, describe_cpu, read_text
from depthport.runtimes.registry import installed_runtimes

# Distributions whose versions can change a result whatever runs it; adapters say which others do.
HOST_PACKAGES = (
    "depth-anything-3",
    "numpy",
    "mkl",
    "intel-openmp",
    "opencv-python-headless",
    "opencv-python",
    "scikit-image",
    "pillow",
    "einops",
    "safetensors",
    "huggingface-hub",
    "nvidia-ml-py",
)

# Environment variables that change what is measured, whatever runs it; adapters say which others do. By exact name: what
# begins alike may be a key or a token.
HOST_VARIABLES = (
    "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "OMP_SCHEDULE",
    "OMP_MAX_ACTIVE_LEVELS", "OMP_STACKSIZE", "GOMP_CPU_AFFINITY", "GOMP_SPINCOUNT", "KMP_AFFINITY", "KMP_BLOCKTIME",
    "KMP_HW_SUBSET", "MKL_NUM_THREADS", "MKL_DOMAIN_NUM_THREADS", "MKL_DYNAMIC", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR",
    "MKL_DISABLE_FAST_MM", "MKL_THREADING_LAYER", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE", "MALLOC_ARENA_MAX", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING", "CUDA_DEVICE_MAX_CONNECTIONS", "CUDA_CACHE_DISABLE", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE",
    "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "NVIDIA_VISIBLE_DEVICES",
)  # fmt: skip
_SETTING = re.compile(r"[A-Za-z0-9_.,:;+={}()% -]{1,80}")


def fingerprint() -> Environment:
    """The `environment` of results.json. Takes a second or two."""
    cpu, gpus = describe_cpu(), nvidia_gpus()
    usable_mib = usable_memory_mib()
    return {
        "machine": machine_name(cpu, gpus, usable_mib),
        "cpu": msgspec.convert(asdict(cpu), CpuSection),
        "memory": {"total_mib": round(_total_memory_mib()), "usable_mib": usable_mib},
        "gpus": [msgspec.convert(gpu.to_json(), GpuSection) for gpu in gpus],
        "system": _system(),
        "power": _power(),
        "python": {"version": platform.python_version(), "implementation": platform.python_implementation()},
        "packages": package_versions(),
        "variables": steering_variables(os.environ),
    }


def machine_name(cpu: Cpu, gpus: tuple[Gpu, ...], memory_mib: float) -> str:
    """`2 x NVIDIA H100 80GB HBM3 · AMD EPYC 9654 (Zen 4), 16 cores, 128 GB`; the same for like hardware."""
    cores = "1 core" if cpu.usable_cores == 1 else f"{cpu.usable_cores} cores"
    host = f"{cpu.label}, {cores}, {memory_mib / 1024:.0f} GB"
    names = [gpu.name for gpu in gpus]
    counted = [f"{names.count(name)} x {name}" if names.count(name) > 1 else name for name in dict.fromkeys(names)]
    return " · ".join([*counted, host])


def package_versions() -> dict[str, str]:
    """Versions of the installed distributions that can change a result, in the order printed; NVIDIA's own as found."""
    ran = (name for runtime in installed_runtimes() for name in runtime.packages)
    made = (name for exporter in installed_exporters() for name in exporter.packages)
    # By the names of their folders (NAME-VERSION.dist-info): reading the metadata of all that is installed takes long.
    folders = (folder.name for entry in sys.path for folder in sorted(Path(entry).glob("nvidia_*.dist-info")))
    nvidia = (folder.partition("-")[0].replace("_", "-") for folder in folders)
    names = dict.fromkeys(("depthport", *ran, *made, *HOST_PACKAGES, *nvidia))
    return {name: version for name in names if (version := package_version(name)) is not None}


def steering_variables(environment: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Those environment variables that change what is measured, by an allow-list of names.

    A value that is no plain setting (a path, say) is not shown, but that it was set is.
    """
    allowed = {*HOST_VARIABLES, *(name for runtime in installed_runtimes() for name in runtime.variables)}
    return {
        name: environment[name] if _SETTING.fullmatch(environment[name]) else "(set)"
        for name in sorted(allowed)
        if environment.get(name)
    }


def memory_limit_mib(root: Path = Path("/")) -> float | None:
    """Memory that the control groups (version 2 or 1) of this process allow, MiB; None where nothing limits it.

    Args:
        root: where `proc` and `sys` are mounted; another folder in tests.
    """
    limits = [limit for folder in _memory_folders(root) if (limit := _limit_mib(folder)) is not None]
    return min(limits, default=None)


def _limit_mib(folder: Path) -> float | None:
    """The limit of one control group."""
    for file in ("memory.max", "memory.limit_in_bytes"):
        text = read_text(folder / file) or ""
        # Version 1 says "unlimited" with a number just below 2^63.
        if text.isdecimal() and int(text) < 1 << 60:
            return int(text) / (1 << 20)
    return None


def free_memory_mib(root: Path = Path("/")) -> float:
    """Host memory that is free, MiB: of the machine, and of what this process's control groups allow.

    Pages of files that a group no longer uses count as free: the kernel takes them back.
    """
    free: list[float] = [psutil.virtual_memory().available / (1 << 20)]
    for folder in _memory_folders(root):
        used = read_text(folder / "memory.current") or read_text(folder / "memory.usage_in_bytes") or ""
        limit = _limit_mib(folder)
        if limit is not None and used.isdecimal():
            stat = dict(line.split() for line in (read_text(folder / "memory.stat") or "").splitlines())
            unused = int(stat.get("total_inactive_file") or stat.get("inactive_file") or 0)
            free.append(limit - (int(used) - unused) / (1 << 20))
    return min(free)


def usable_memory_mib() -> float:
    """Host memory this process may use, MiB: all there is, or what its control groups allow."""
    total, limit = _total_memory_mib(), memory_limit_mib()
    return round(total if limit is None else min(total, limit))


def _memory_folders(root: Path) -> Iterator[Path]:
    """The folders that can limit this process's memory: its own groups, their parents, and the mounts themselves."""
    mount = root / "sys/fs/cgroup"
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        base = mount / "memory" if controllers else mount
        relative = PurePosixPath(path.lstrip("/"))
        yield from (base / part for part in (relative, *relative.parents))


def _total_memory_mib() -> float:
    total: int = psutil.virtual_memory().total
    return total / (1 << 20)


def _system() -> SystemSection:
    return {
        "os": platform.system(),
        "release": platform.mac_ver()[0] if sys.platform == "darwin" else numbers_of(platform.release()),
        "distribution": _distribution(),
        "architecture": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "virtual_machine": _virtual(),
    }


def numbers_of(release: str) -> str:
    """`6.8.12` of `6.8.12-acme-build7`: what follows the numbers may name a site or an owner."""
    found = re.match(r"\d+(\.\d+)*", release)
    return found.group() if found else ""


def _distribution() -> str | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _virtual() -> bool | None:
    """Return whether a hypervisor is below (a reason for noise); None where the system does not say."""
    text = read_text("/proc/cpuinfo")
    return None if text is None else bool(re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE))


def _power() -> PowerSection:
    """`source` is `battery`, `mains`, or None where there is no battery to ask."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    source = None if battery is None else "mains" if battery.power_plugged else "battery"
    low_power = None
    if sys.platform == "darwin":
        settings = command_output("pmset", "-g") or ""
        if match := re.search(r"^\s*lowpowermode\s+(\d)", settings, re.MULTILINE):
            low_power = match.group(1) == "1"
    return {"source": source, "low_power_mode": low_power}
