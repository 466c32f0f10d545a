"""Platform of an engine: the package that built it, its version, the GPU. One definition for build and run.

NVIDIA gives the same Python API twice: `tensorrt` (10.13 and 11.x: needs the target GPU to build, runs on all of them)
and `tensorrt_rtx` (TensorRT for RTX: builds for absent GPUs, runs on GeForce and RTX ones only). Imports
neither until asked.

An engine's first bytes say what it is (NVIDIA's documentation, "Version compatibility"; measured on TensorRT-RTX 1.7.1):
a magic number, the size of the file at byte 16, the version of TensorRT at byte 24.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError, one_line
from depthport.exporters.core.nvidia import cuda_devices, driver_version

ENGINE_FILE = "model.engine"
_HEADER_BYTES = 64


@dataclass(frozen=True)
class Package:
    """One of the two packages, by the format it writes."""

    format: str
    module: str
    name: str
    """The name as NVIDIA writes it."""
    distributions: tuple[str, ...]
    """Any of these installs it."""
    install: str
    magic: bytes
    """First bytes of its engines."""
    builds_without_gpu: bool
    capabilities: tuple[str, ...] = ()
    """GPUs it can build for and run on; empty: all that its version knows."""


TENSORRT = Package(
    "tensorrt", "tensorrt", "TensorRT",
    ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-libs", "tensorrt-cu12-libs"),
    f"{install.TENSORRT} (or tensorrt-cu12, after the CUDA of your driver; on a Jetson it comes with JetPack)",
    b"ftrt", builds_without_gpu=False,
)  # fmt: skip
TENSORRT_RTX = Package(
    "tensorrt-rtx", "tensorrt_rtx", "TensorRT for RTX",
    ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
    f"{install.TENSORRT_RTX} (or tensorrt-rtx-cu12, after the CUDA of your driver)",
    b"vtrt", builds_without_gpu=True, capabilities=("sm75", "sm80", "sm86", "sm89", "sm120", "sm121"),
)  # fmt: skip
PACKAGES: dict[str, Package] = {package.format: package for package in (TENSORRT, TENSORRT_RTX)}


def installed_version(package: Package) -> str | None:
    """Version of the installed distribution, without importing it; None where there is none."""
    for name in package.distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


@cache
def load_module(package: Package) -> ModuleType:
    """The package's Python module.

    Raises:
        UnavailableError: it is not installed, or its libraries do not load.
    """
    try:
        module = import_module(package.module)
    except (ImportError, OSError, RuntimeError) as error:
        raise UnavailableError(f"{package.name} does not import ({one_line(error)}): {package.install}") from error
    if not hasattr(module, "Builder"):
        raise UnavailableError(f"the module {package.module} that is installed is not {package.name}: {package.install}")
    return module


@dataclass(frozen=True)
class EngineGpu:
    """An NVIDIA GPU as an engine sees it."""

    name: str
    capability: str
    """`sm89`."""
    driver: str | None = None
    """Version of NVIDIA's driver; None where NVML is not installed."""


@cache
def gpu_here(index: int = 0) -> EngineGpu | None:
    """GPU `index` of this machine, from the driver; None without one. Imports no framework and starts no context."""
    gpus = cuda_devices()
    if index >= len(gpus) or gpus[index].capability == (0, 0):
        return None
    major, minor = gpus[index].capability
    return EngineGpu(gpus[index].name, f"sm{major}{minor}", driver_version())


@dataclass(frozen=True)
class EngineHeader:
    """Header of an engine, from its first bytes."""

    magic: bytes
    size_bytes: int
    version: str
    """Version of the TensorRT that wrote it, four numbers."""


def read_header(path: Path) -> EngineHeader | None:
    """The header of an engine file; None where it is too short to have one."""
    with path.open("rb") as stream:
        data = stream.read(_HEADER_BYTES)
    if len(data) < _HEADER_BYTES:
        return None
    version = ".".join(str(byte) for byte in data[24:28])
    return EngineHeader(data[:4], int.from_bytes(data[16:24], "little"), version)


def damage(path: Path, package: Package) -> str | None:
    """Return why a file is not a complete engine of `package`, in one line; None if it seems to be."""
    header = read_header(path)
    size = path.stat().st_size
    if header is None:
        return f"{path.name} holds {size} bytes, too few for an engine"
    for other in PACKAGES.values():
        if header.magic == other.magic and other is not package:
            return f"{path.name} is an engine of {other.name}, not of {package.name}"
    if header.magic != package.magic:
        return f"{path.name} is not an engine of {package.name}: it begins with {header.magic!r}"
    # Files of full TensorRT are trusted on the magic alone: their size field is not documented.
    if package is TENSORRT_RTX and header.size_bytes != size:
        return f"{path.name} is truncated or damaged: it holds {size} bytes of the {header.size_bytes} its header gives"
    return None


def mismatch(target: Mapping[str, Any], version: str, gpu: EngineGpu) -> str | None:
    """Return why an engine can't be trusted on this GPU with this TensorRT; None where it was built for both.

    Args:
        target: `Manifest.target` as the exporter wrote it.
        version: of the installed TensorRT.
        gpu: this machine's GPU.
    """
    built = str(target.get("version", "unknown"))
    if built != version:
        return f"the engine was built by {target.get('package')} {built} and this is {version}"
    compatibility = target.get("compatibility", "none")
    capabilities = list(target.get("capabilities", ()))
    if compatibility == "ampere+" and int(gpu.capability[2:]) >= 80:
        return None
    if gpu.capability not in capabilities:
        return f"the engine is for {', '.join(capabilities)} and this GPU, {gpu.name}, is {gpu.capability}"
    named = target.get("gpu")
    if compatibility == "none" and named and named != gpu.name:
        return f"the engine was built on {named} and this GPU is {gpu.name}"
    return None
