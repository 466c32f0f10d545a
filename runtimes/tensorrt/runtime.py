"""Runtimes `tensorrt` and `tensorrt-rtx`: engines on NVIDIA GPUs, without torch.

Modes: `enqueue` launches the engine's kernels each time, `cuda-graph` captures them once and replays them. An engine
that was built for another GPU or by another version is not loaded: :meth:`Runtime.mismatch` says why, and
:func:`depthport.exporters.api.rebuild` builds another, which `depthport bench` asks for. How to install, build and run:
TENSORRT.md.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import ClassVar

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnavailableError
from depthport.exporters.core.nvidia import cuda_devices
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.tensorrt.platform import PACKAGES, Package, gpu_here, installed_version, load_module
from depthport.runtimes.base import Device, LoadOptions, Mode, Runtime, Session
from depthport.runtimes.tensorrt.engine import mismatch_of, open_engine, this_gpu
from depthport.runtimes.tensorrt.session import CudaSession
from depthport.runtimes.terms import Mismatch

ENQUEUE = Mode("enqueue", "kernels launched one by one on the session's stream")
CUDA_GRAPH = Mode("cuda-graph", "the same kernels captured once and replayed as one CUDA graph")
_PRECISIONS = ("fp16", "bf16", "tf32", "fp32")


class _EngineRuntime(Runtime):
    """Base of both runtimes, which differ in the package alone."""

    package: ClassVar[Package]
    licence: ClassVar[str | None] = "NVIDIA SLA"
    bound: ClassVar[bool] = True

    def probe(self) -> list[Device]:
        gpus = cuda_devices()
        if not gpus:
            return [self._unavailable("cuda", "NVIDIA GPU", *self._missing_gpu())]
        return [self._device("cuda" if index == 0 else f"cuda:{index}", gpu.name, index) for index, gpu in enumerate(gpus)]

    def _missing_gpu(self) -> tuple[str, str]:
        return (
            "no NVIDIA GPU or driver was found: an engine can neither be loaded nor run",
            f"on a machine with one: NVIDIA's driver, {self.package.install}, {install.CUDA_BINDINGS}",
        )

    def _device(self, name: str, description: str, index: int) -> Device:
        package = self.package
        gpu = gpu_here(index)
        if package.capabilities and gpu is not None and gpu.capability not in package.capabilities:
            return self._unavailable(
                name, description,
                f"{package.name} does not run on {gpu.capability}: it has {', '.join(package.capabilities)}",
                "use the runtime tensorrt",
            )  # fmt: skip
        if find_spec("cuda") is None or find_spec("cuda.bindings") is None:
            return self._unavailable(name, description, "cuda-bindings is not installed", str(install.CUDA_BINDINGS))
        if find_spec(package.module) is None:
            return self._unavailable(name, description, f"{package.name} is not installed", package.install)
        try:
            load_module(package)
        except UnavailableError as error:
            return self._unavailable(name, description, str(error), package.install)
        title = f"{description}, {package.name} {installed_version(package)}"
        return Device(name, title, (ENQUEUE, CUDA_GRAPH), _PRECISIONS)

    def _unavailable(self, name: str, description: str, reason: str, remedy: str) -> Device:
        return Device(name, description, (ENQUEUE, CUDA_GRAPH), _PRECISIONS, unavailable=reason, remedy=remedy)

    def mismatch(self, artifact: Artifact, device: str) -> Mismatch | None:
        version = str(load_module(self.package).__version__)
        return mismatch_of(artifact, version, this_gpu(int(device.partition(":")[2] or 0)))

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        mode = self.mode(self.device(device), options.mode)
        read_options(Options, options.extra, self.name)
        index = int(device.partition(":")[2] or 0)
        engine = open_engine(self.package, artifact, options, index)
        return CudaSession(artifact, device, options, engine, index, graph=mode is CUDA_GRAPH)


class TensorRTRuntime(_EngineRuntime):
    """Full TensorRT."""

    name: ClassVar[str] = "tensorrt"
    formats: ClassVar[tuple[str, ...]] = ("tensorrt",)
    package: ClassVar[Package] = PACKAGES["tensorrt"]
    title: ClassVar[str] = package.name
    packages: ClassVar[tuple[str, ...]] = (*package.distributions, "cuda-bindings")


class TensorRTRTXRuntime(_EngineRuntime):
    """TensorRT for RTX."""

    name: ClassVar[str] = "tensorrt-rtx"
    formats: ClassVar[tuple[str, ...]] = ("tensorrt-rtx",)
    package: ClassVar[Package] = PACKAGES["tensorrt-rtx"]
    title: ClassVar[str] = package.name
    packages: ClassVar[tuple[str, ...]] = (*package.distributions, "cuda-bindings")
