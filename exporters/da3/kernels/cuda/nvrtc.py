"""CUDA C++ compiled at run time by NVRTC, which comes with PyTorch: no toolkit and no host compiler are needed.

Binaries are kept in `$DEPTHPORT_KERNEL_CACHE` (default: the user's cache folder) under a hash of all they depend on,
and read only while they are as they were written.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from depthport.exporters.core import install
from depthport.exporters.core.errors import RunError, StorageError, UnavailableError
from depthport.exporters.core.files.atomic import write_bytes
from depthport.exporters.core.files.private import cache_root, private_folder
from depthport.exporters.core.files.sealed import file_intact, seal_file

ENV_CACHE = "DEPTHPORT_KERNEL_CACHE"
_MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


def compile_cubin(source: str, name: str, macros: Mapping[str, str], architecture: str) -> bytes:
    """Machine code for one architecture.

    Args:
        source: CUDA C++ without includes.
        name: of the file, for messages.
        macros: preprocessor definitions.
        architecture: e.g. `sm_90a`.

    Raises:
        UnavailableError: cuda-bindings is not installed.
        RunError: the source does not compile; the message has the first line of the compiler's log.
    """
    nvrtc = bindings().nvrtc
    version = _checked(nvrtc.nvrtcVersion())
    options = [f"--gpu-architecture={architecture}", "--std=c++17"]
    options += [f"--define-macro={key}={value}" for key, value in sorted(macros.items())]
    recipe = "\0".join((source, *options, *map(str, version)))
    kept = cache_folder() / f"{Path(name).stem}-{hashlib.sha256(recipe.encode()).hexdigest()[:24]}.cubin"
    if file_intact(kept):
        return kept.read_bytes()
    program = _checked(nvrtc.nvrtcCreateProgram(source.encode(), name.encode(), 0, None, None))
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = bytearray(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RunError(f"{name} does not compile for {architecture}: {log.decode(errors='replace').splitlines()[0]}")
    cubin = bytearray(_checked(nvrtc.nvrtcGetCUBINSize(program)))
    _checked(nvrtc.nvrtcGetCUBIN(program, cubin))
    # A cache: where it can't be written, the next process compiles again.
    with suppress(OSError, StorageError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(kept, bytes(cubin))
        seal_file(kept)
    return bytes(cubin)


def hopper_source() -> str:
    """Return the source shared by the kernels for Hopper, which precedes each."""
    return Path(__file__).with_name("hopper.cu").read_text(encoding="utf-8")


class Kernel:
    """One function of a compiled module in the current CUDA context."""

    def __init__(self, cubin: bytes, name: str, shared_bytes: int) -> None:
        driver = bindings().driver
        self._module = _checked(driver.cuModuleLoadData(cubin))
        self._function = _checked(driver.cuModuleGetFunction(self._module, name.encode()))
        attribute = driver.CUfunction_attribute(_MAX_DYNAMIC_SHARED)
        _checked(driver.cuFuncSetAttribute(self._function, attribute, shared_bytes))
        self._shared_bytes = shared_bytes

    def launch(
        self, grid: tuple[int, int, int], threads: int, stream: int, values: Sequence[Any], types: Sequence[Any]
    ) -> None:
        """Enqueue; `values` and `types` as `cuLaunchKernel` of cuda-bindings takes them (ctypes, None: as it is)."""
        driver = bindings().driver
        _checked(
            driver.cuLaunchKernel(
                self._function, *grid, threads, 1, 1, self._shared_bytes, stream, (tuple(values), tuple(types)), 0
            )
        )


def tensor_map(address: int, dtype: str, rows: int, columns: int, row_stride_bytes: int, box: tuple[int, int]) -> object:
    """A TMA descriptor of a matrix of 16-bit numbers, in boxes of (rows, columns) that land in 128-byte swizzle.

    Args:
        address: of the first element on the device, a multiple of 16.
        dtype: `bf16` or `f16`.
        rows, columns: of the matrix; what a box reads beyond is zero.
        row_stride_bytes: a multiple of 16.
        box: rows and columns; 64 columns are the 128 bytes of the swizzle.
    """
    driver = bindings().driver
    kind = driver.CUtensorMapDataType
    return _checked(
        driver.cuTensorMapEncodeTiled(
            kind.CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 if dtype == "bf16" else kind.CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
            2,
            address,
            [driver.cuuint64_t(columns), driver.cuuint64_t(rows)],
            [driver.cuuint64_t(row_stride_bytes)],
            [driver.cuuint32_t(box[1]), driver.cuuint32_t(box[0])],
            [driver.cuuint32_t(1), driver.cuuint32_t(1)],
            driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
            driver.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_128B,
            driver.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            driver.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    )


def cache_folder() -> Path:
    """Return the folder of compiled kernels."""
    if folder := os.environ.get(ENV_CACHE):
        return Path(folder)
    return private_folder(cache_root() / "kernels")


def bindings() -> Any:
    """The package `cuda.bindings`.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        import cuda.bindings.driver
        import cuda.bindings.nvrtc
    except ImportError as error:
        remedy = str(install.CUDA_BINDINGS)
        raise UnavailableError(f"cuda-bindings can't be imported ({error}): {remedy}") from error
    return cuda.bindings


def _checked(result: tuple[Any, ...]) -> Any:
    """The values of a call of cuda-bindings, which come after its status.

    Raises:
        RunError: the status is not success.
    """
    status, *values = result
    if int(status) != 0:
        raise RunError(f"CUDA failed: {getattr(status, 'name', status)}")
    return values[0] if len(values) == 1 else tuple(values)


INT, FLOAT, POINTER = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
