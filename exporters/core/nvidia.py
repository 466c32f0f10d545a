"""Facts from the NVIDIA driver, without a framework: the one place where GPUs are probed.

Which GPUs this process may use is CUDA's to say: the driver library is asked directly (CUDA Driver API, `cuInit`,
`cuDeviceGetCount`, `cuDeviceGetName`, `cuDeviceGetAttribute`), so `doctor` can tell "no GPU" from "the wrong package is
installed". NVML (nvidia-ml-py) tells the rest, and the memory a process holds, which libraries with an allocator of their
own (ONNX Runtime) do not report.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

_NAME_BYTES = 256
_CAPABILITY = (75, 76)
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU."""

    name: str
    memory_bytes: int
    """Total memory, used or not."""
    capability: tuple[int, int] = (0, 0)
    """Compute capability, (9, 0) for Hopper; (0, 0) where the driver does not tell."""
    driver: str | None = None
    power_limit_w: float | None = None
    mig: bool = False
    """True: the GPU is partitioned; a cell may see a part of it only."""

    def to_json(self) -> dict[str, object]:
        """Return the form of a results file."""
        major, minor = self.capability
        return {
            "name": self.name,
            "driver": self.driver,
            "compute_capability": f"{major}.{minor}",
            "memory_mib": self.memory_bytes >> 20,
            "power_limit_w": self.power_limit_w,
            "mig": self.mig,
        }


def nvidia_gpus() -> tuple[Gpu, ...]:
    """Every GPU the driver shows, whether this process may use it or not; without NVML those that it may use.

    Creates no CUDA context, so it may be asked in the parent process. Never raises.
    """
    with nvml() as library:
        if library is not None:
            driver = nvml_text(library.nvmlSystemGetDriverVersion())
            return tuple(_nvml_gpu(library, index, driver) for index in range(library.nvmlDeviceGetCount()))
    return cuda_devices()


def _nvml_gpu(library: Any, index: int, driver: str) -> Gpu:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    try:
        power = library.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    except library.NVMLError:
        power = None
    try:
        mig = library.nvmlDeviceGetMigMode(handle)[0] == library.NVML_DEVICE_MIG_ENABLE
    except library.NVMLError:
        mig = False
    capability = tuple(library.nvmlDeviceGetCudaComputeCapability(handle))
    memory = int(library.nvmlDeviceGetMemoryInfo(handle).total)
    return Gpu(nvml_text(library.nvmlDeviceGetName(handle)), memory, capability, driver, power, mig)


@cache
def cuda_devices() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs this process may use, in CUDA's order; empty without a driver or a GPU."""
    driver = _driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    gpus = []
    for ordinal in range(count.value):
        device, name, memory = ctypes.c_int(0), ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_size_t(0)
        failures = (
            driver.cuDeviceGet(ctypes.byref(device), ordinal)
            or driver.cuDeviceGetName(name, _NAME_BYTES, device)
            or driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        )
        if not failures:
            gpus.append(Gpu(name.value.decode("utf-8", "replace"), memory.value, _capability(driver, device)))
    return tuple(gpus)


@cache
def begin_context(ordinal: int | None) -> threading.Thread:
    """Begin to make a GPU's primary context in a thread, while a framework that will use it is still being imported.

    Both take a second or more, and the driver's part holds no lock of Python's (CUDA Driver API, `cuInit`,
    `cuDevicePrimaryCtxRetain`). The context is kept until the process ends, as a framework keeps it. A failure is left to
    the framework, which asks the driver for the same again.

    Args:
        ordinal: in CUDA's order of the GPUs this process may use; None: no context yet, the driver is initialised alone.
    """
    thread = threading.Thread(target=_retain_context, args=(ordinal,), name="cuda-context")
    thread.start()
    return thread


def _retain_context(ordinal: int | None) -> None:
    driver = _driver()
    device, context = ctypes.c_int(0), ctypes.c_void_p()
    if driver is None or driver.cuInit(0) != 0 or ordinal is None:
        return
    if driver.cuDeviceGet(ctypes.byref(device), ordinal) == 0:
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def _capability(driver: ctypes.CDLL, device: ctypes.c_int) -> tuple[int, int]:
    parts = []
    for attribute in _CAPABILITY:
        value = ctypes.c_int(0)
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return (0, 0)
        parts.append(value.value)
    return parts[0], parts[1]


@contextmanager
def nvml() -> Iterator[Any]:
    """NVIDIA's management library (`pynvml`), initialised; None without nvidia-ml-py or a driver.

    What NVML refuses inside ends the block.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        yield None
        return
    except pynvml.NVMLError:
        yield None
        return
    try:
        with suppress(pynvml.NVMLError):
            yield pynvml
    finally:
        pynvml.nvmlShutdown()


def nvml_text(value: str | bytes) -> str:
    """Return NVML's string as text, which older versions of its bindings give as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def driver_version() -> str | None:
    """Version of NVIDIA's driver; None where NVML is not installed."""
    with nvml() as library:
        if library is not None:
            return nvml_text(library.nvmlSystemGetDriverVersion())
    return None


def process_memory_mib() -> float | None:
    """Device memory this process holds now over all its GPUs, in MiB; None without NVML or where it hides processes."""
    with nvml() as library:
        if library is not None:
            used = [
                process.usedGpuMemory
                for index in range(library.nvmlDeviceGetCount())
                for process in library.nvmlDeviceGetComputeRunningProcesses(library.nvmlDeviceGetHandleByIndex(index))
                if process.pid == os.getpid() and process.usedGpuMemory is not None
            ]
            return sum(used) / (1 << 20) if used else None
    return None
