"""The NVIDIA GPUs of this machine, from the driver: by nvidia-ml-py if installed, else by `nvidia-smi`.

Asking the driver creates no CUDA context and imports no framework, so it may be done in the parent process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from depthport.bench.environment.cpu import command_output
from depthport.exporters.core.nvidia import nvml, nvml_text

_QUERY = "name,driver_version,compute_cap,memory.total,power.limit,mig.mode.current"


@dataclass(frozen=True)
class Gpu:
    name: str
    driver: str
    compute_capability: str
    """`9.0` is Hopper (sm_90)."""
    memory_mib: int | None
    power_limit_w: float | None = None
    mig: bool = False
    """True: the GPU is partitioned; a cell may see a part of it only."""


def nvidia_gpus() -> tuple[Gpu, ...]:
    """Every GPU the driver shows; empty where there is none. Takes at most a few seconds and never raises."""
    found = _by_nvml()
    return found if found is not None else parse_nvidia_smi(_smi() or "")


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """GPUs from the CSV of `nvidia-smi --query-gpu=… --format=csv,noheader,nounits`."""
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == len(_QUERY.split(",")):
            name, driver, capability, memory, power, mig = fields
            mib, watts = _number(memory), _number(power)
            gpus.append(Gpu(name, driver, capability, None if mib is None else int(mib), watts, mig.lower() == "enabled"))
    return tuple(gpus)


def _smi() -> str | None:
    return command_output("nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _by_nvml() -> tuple[Gpu, ...] | None:
    """None where nvidia-ml-py is not installed or finds no driver."""
    with nvml() as library:
        if library is not None:
            driver = nvml_text(library.nvmlSystemGetDriverVersion())
            return tuple(_nvml_gpu(library, index, driver) for index in range(library.nvmlDeviceGetCount()))
    return None


def _nvml_gpu(library: Any, index: int, driver: str) -> Gpu:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    major, minor = library.nvmlDeviceGetCudaComputeCapability(handle)
    try:
        power = library.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    except library.NVMLError:
        power = None
    try:
        mig = library.nvmlDeviceGetMigMode(handle)[0] == library.NVML_DEVICE_MIG_ENABLE
    except library.NVMLError:
        mig = False
    memory_mib = int(library.nvmlDeviceGetMemoryInfo(handle).total) >> 20
    return Gpu(nvml_text(library.nvmlDeviceGetName(handle)), driver, f"{major}.{minor}", memory_mib, power, mig)
