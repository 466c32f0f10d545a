"""Differences between PyTorch's devices, in one place: names, flags, waiting, memory.

Everything goes through `torch.accelerator`, so cpu, cuda, mps and xpu share the adapter's code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

import torch

MPS_MEMORY_FRACTION = 0.85
"""Default share of unified memory on MPS: beyond it macOS swaps, and every figure is of the swap."""
MPS_FALLBACK_VARIABLE = "PYTORCH_ENABLE_MPS_FALLBACK"
_FALLBACK = re.compile(r"operator '([^']+)' is not currently (?:supported on|implemented for) the MPS")
_MIB = 1 << 20


def set_tf32(enabled: bool) -> None:
    """Make fp32 matmuls and convolutions use TF32, or not: never left to defaults, which are on for cuDNN.

    Inductor reads these flags through the older interface and refuses a mix of it with `fp32_precision`.
    """
    torch.set_float32_matmul_precision("high" if enabled else "highest")
    torch.backends.cudnn.allow_tf32 = enabled


def limit_memory(device: torch.device, fraction: float | None) -> float | None:
    """Cap this process's share of the device's memory; returns the cap in force (None: none)."""
    if device.type == "mps":
        fraction = MPS_MEMORY_FRACTION if fraction is None else fraction
        torch.mps.set_per_process_memory_fraction(fraction)
    elif device.type == "cuda" and fraction is not None:
        torch.cuda.set_per_process_memory_fraction(fraction, device)
    elif device.type == "cpu":
        return None
    return fraction


def grow_segments(device: torch.device) -> None:
    """Let CUDA's caching allocator enlarge the segments it has, where it would add others that nothing else fits.

    Over many views the fused network's tensors are of a few sizes, each of hundreds of megabytes, and a free segment of one
    is of no use to the next. The setting has a public name in the environment alone (`PYTORCH_CUDA_ALLOC_CONF`), which is
    read before anybody can know what will be loaded.
    """
    if device.type == "cuda":
        settings = getattr(torch._C, "_accelerator_setAllocatorSettings", None)
        (settings or torch.cuda.memory._set_allocator_settings)("expandable_segments:True")


def wait(device: torch.device) -> None:
    """Return when everything enqueued on `device` is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def reset_peak(device: torch.device) -> None:
    """Begin a new peak of device memory."""
    if device.type in ("cuda", "xpu"):
        torch.accelerator.reset_peak_memory_stats(device)


def peak_mib(device: torch.device) -> float | None:
    """Peak device memory reserved by PyTorch since :func:`reset_peak`, in MiB; None on the CPU.

    Reserved, not allocated: it is what the process takes away from others. MPS keeps no peak, so there it is what the
    driver holds now, which the caching allocator does not give back.
    """
    if device.type in ("cuda", "xpu"):
        return torch.accelerator.max_memory_reserved(device) / _MIB
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / _MIB
    return None


def mps_fallback(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether PyTorch may silently run operators that MPS lacks on the CPU."""
    return environment.get(MPS_FALLBACK_VARIABLE, "0") not in ("", "0")


def fallback_operators(warnings: Iterable[str]) -> tuple[str, ...]:
    """Operators that PyTorch says it runs on the CPU because MPS lacks them (`aten/src/ATen/mps/MPSFallback.mm`).

    It says so once an operator and process, when that first runs.
    """
    found = (match[1] for text in warnings if (match := _FALLBACK.search(text)))
    return tuple(dict.fromkeys(found))


def parameter_report(tensors: Mapping[str, torch.Tensor]) -> dict[str, object]:
    """Return the number of tensors, and MiB, by device and dtype."""
    devices: dict[str, int] = {}
    dtypes: dict[str, int] = {}
    for tensor in tensors.values():
        devices[str(tensor.device)] = devices.get(str(tensor.device), 0) + 1
        dtype = str(tensor.dtype).removeprefix("torch.")
        dtypes[dtype] = dtypes.get(dtype, 0) + 1
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return {"tensors_by_device": devices, "tensors_by_dtype": dtypes, "tensors_mib": round(size / _MIB, 3)}
