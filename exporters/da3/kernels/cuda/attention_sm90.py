"""Launching `attention_sm90.cu`: attention for Hopper GPUs at 64 channels a head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from depthport.exporters.da3.kernels.cuda.nvrtc import FLOAT, INT, POINTER, Kernel, compile_cubin, hopper_source, tensor_map

HEAD_DIM = 64
ARCHITECTURE = "sm_90a"
SOURCE = Path(__file__).with_name("attention_sm90.cu")
PRODUCTS = Path(__file__).with_name("attention_sm90_products.cu")
_ROWS = 64
_LONG = 4096
"""Keys of a group from which on large blocks pay."""
_NAMES = {torch.bfloat16: "bf16", torch.float16: "f16"}
_HEADROOM = {"bf16": 60, "f16": 15}
"""Amount by which an exponent may exceed its row's reference: weights up to 2^60 and 2^15, with room to add them up."""


@dataclass(frozen=True)
class Tiling:
    """Tiling of the work."""

    consumers: int
    """Warp groups that compute; each has 64 queries."""
    keys: int
    """Keys of a block: 64 or 128."""
    stages: int
    """Blocks of keys and of values in shared memory."""

    @property
    def shared_bytes(self) -> int:
        """Dynamic shared memory, with room to align it to 1024 bytes."""
        tiles = (self.consumers * _ROWS + 2 * self.stages * self.keys) * HEAD_DIM * 2
        return tiles + 1024 + 1024


def tiling(groups: int, length: int, heads: int, bounded: bool, processors: int) -> Tiling:
    """The fastest cut measured on an H200 for a problem of this size (bench/records/h200.md).

    Long groups want the largest blocks. Short ones want more queries a tile, which reads keys and values less often;
    where all tiles run at once, a third stage of keys is enough and starts sooner.
    """
    if bounded and length >= _LONG:
        return Tiling(2, 128, 3)
    tiles = -(-length // (3 * _ROWS)) * heads * groups
    return Tiling(3, 64, 3 if tiles <= processors else 4)


def supports(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Return whether the kernel can take these operands on their device."""
    aligned = all(part.data_ptr() % 16 == 0 and part.stride(1) % 8 == 0 for part in (q, k, v))
    return (
        q.is_cuda
        and q.dtype in _NAMES
        and q.shape[-1] == HEAD_DIM
        and aligned
        and torch.cuda.get_device_capability(q.device) == (9, 0)
    )


def launch(q: Tensor, k: Tensor, v: Tensor, out: Tensor, scale: float, bounded: bool, tiling: Tiling) -> None:
    """Write attention of (G, L, heads, 64) operands to `out`, contiguous and of the same shape."""
    groups, length, heads, _ = q.shape
    maps = [
        tensor_map(
            part.data_ptr(), _NAMES[part.dtype], groups * length, heads * HEAD_DIM, 2 * part.stride(1),
            (rows, HEAD_DIM),
        )
        for part, rows in ((q, _ROWS), (k, tiling.keys), (v, tiling.keys))
    ]  # fmt: skip
    rows = tiling.consumers * _ROWS
    values = (*maps, out.data_ptr(), out.stride(1), length, scale)
    types = (None, None, None, POINTER, INT, INT, FLOAT)
    _kernel(tiling, bounded, _NAMES[q.dtype], q.device.index or 0).launch(
        ((length + rows - 1) // rows, heads, groups),
        (tiling.consumers + 1) * 128,
        torch.cuda.current_stream(q.device).cuda_stream,
        values,
        types,
    )


@cache
def _kernel(tiling: Tiling, bounded: bool, dtype: str, _device: int) -> Kernel:
    return Kernel(build(tiling, bounded, dtype), "attention", tiling.shared_bytes)


def build(tiling: Tiling, bounded: bool, dtype: str) -> bytes:
    """Compile one variant; needs no GPU."""
    macros = {
        "CONSUMERS": str(tiling.consumers),
        "KEYS": str(tiling.keys),
        "STAGES": str(tiling.stages),
        "REFERENCE": "2" if not bounded else "1" if dtype == "f16" else "0",
        "HEADROOM": f"{_HEADROOM[dtype]}.0f",
        "HALF": f'"{dtype}"',
    }
    source = "\n".join((hopper_source(), *(path.read_text(encoding="utf-8") for path in (PRODUCTS, SOURCE))))
    return compile_cubin(source, SOURCE.name, macros, ARCHITECTURE)
