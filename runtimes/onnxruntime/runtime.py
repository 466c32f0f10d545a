"""Runtime `onnxruntime`: ONNX artifacts on any of ONNX Runtime's execution providers, each provider one mode.

On the CPU the graph that ONNX Runtime has optimised for the processor is kept for later loads
(:mod:`depthport.runtimes.onnxruntime.cache`).

Silent fallback is off: for every provider but the CPU's own, session creation fails if one node would land on the CPU
(`session.disable_cpu_ep_fallback`), and the nodes are named. Options (`LoadOptions.extra`):

* `spinning`: `run` (default) lets the thread pool spin while an inference runs and puts it to sleep afterwards, so a
  parked session leaves the cores to others; `always` is ONNX Runtime's own default; `never` sleeps within a run too.
* `graph_optimization`: `all` (default), `extended`, `basic` or `disabled`.
* `cpu_fallback`: True admits nodes on the CPU, and names them in :attr:`~depthport.runtimes.base.Placement.fallback`.
* `provider_options`: a mapping that is laid over the provider's options.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.core.nvidia import cuda_devices
from depthport.exporters.core.options import read_options
from depthport.runtimes.base import Device, LoadOptions, Runtime, Session
from depthport.runtimes.host.cpu import cpu_description, has_int8
from depthport.runtimes.onnxruntime.providers import CUDA_TARGET, Provider, providers_for

if TYPE_CHECKING:
    pass

MODEL_FILE = "model.onnx"
_GPU_PRECISIONS = ("fp16", "fp32", "tf32", "fp16-mixed")


class OnnxRuntimeRuntime(Runtime):
    """ONNX Runtime through its Python API."""

    name: ClassVar[str] = "onnxruntime"
    formats: ClassVar[tuple[str, ...]] = ("onnx",)
    title: ClassVar[str] = "ONNX Runtime"
    licence: ClassVar[str | None] = "MIT"
    builds: ClassVar[tuple[str, ...]] = (
        "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml",
    )  # fmt: skip
    packages: ClassVar[tuple[str, ...]] = builds
    variables: ClassVar[tuple[str, ...]] = (
        "ORT_DISABLE_FLASH_ATTENTION", "ORT_LOAD_CONFIG_FROM_MODEL", "ORT_MLAS_QKGEMM_S8_APPROX_VNNI",
    )  # fmt: skip
    quantized: ClassVar[tuple[str, ...]] = ("int8",)

    def default_target(self, device: str, precision: str) -> str | None:  # noqa: ARG002 - the interface's
        return "ort-cpu" if device == "cpu" else None

    def probe(self) -> list[Device]:
        if find_spec("onnxruntime") is None:
            return [
                Device(
                    "cpu", cpu_description(), unavailable="onnxruntime is not installed", remedy=str(install.ONNXRUNTIME)
                )
            ]
        try:
            import onnxruntime
        except (ImportError, OSError, RuntimeError) as error:
            return [
                Device(
                    "cpu",
                    cpu_description(),
                    unavailable=f"onnxruntime does not import ({error})",
                    remedy=str(install.ONNXRUNTIME_AGAIN),
                )
            ]
        available = onnxruntime.get_available_providers()
        modes = tuple(provider.mode for provider in providers_for("cpu", available))
        precisions, note = _cpu_precisions()
        devices = [Device("cpu", cpu_description(), modes, precisions, notes=(note,))]
        devices += _cuda_devices(available)
        if sys.platform == "darwin":
            devices += [_apple_device(kind, available) for kind in ("mps", "ane")]
        return devices

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        found = self.device(device)
        mode = self.mode(found, options.mode)

        import onnxruntime

        from depthport.runtimes.onnxruntime.session import OrtOptions, OrtSession

        extra = read_options(OrtOptions, options.extra, self.name)
        model = artifact.file(MODEL_FILE)

        candidates = providers_for(device, onnxruntime.get_available_providers())
        provider = next(candidate for candidate in candidates if candidate.mode == mode)
        _require_portable(artifact, provider)
        _require_one_shape(artifact, provider)
        return OrtSession(artifact, device, options, model, provider, extra)


def _require_one_shape(artifact: Artifact, provider: Provider) -> None:
    """Refuse to replay a CUDA graph, which has one shape, of an artifact that has none."""
    if artifact.manifest.dynamic and provider.cuda_graph:
        raise UnsupportedError(
            f"mode {provider.mode.name!r} replays a CUDA graph, which has one shape, and {artifact.path.name} leaves "
            f"{', '.join(artifact.manifest.dynamic)} open: choose another mode or export it for one shape"
        )


def _require_portable(artifact: Artifact, provider: Provider) -> None:
    """Refuse a graph of the CUDA provider's own operators on any other provider."""
    if artifact.manifest.options.get("target") == CUDA_TARGET and provider.mode.target != CUDA_TARGET:
        raise UnsupportedError(
            f"{artifact.path.name} is for ONNX Runtime's CUDA provider only (target {CUDA_TARGET!r}): "
            "export it without that target"
        )


def _cpu_precisions() -> tuple[tuple[str, ...], str]:
    """Policies worth running on this CPU, and what to say of them: without VNNI int8 is no faster than fp32."""
    if has_int8():
        return ("fp32", "int8"), "int8: the CPU sums its products in hardware"
    return ("fp32",), "int8: this CPU has no instruction for it (VNNI); not faster than fp32"


def _cuda_devices(available: list[str]) -> list[Device]:
    gpus = cuda_devices()
    if not gpus:
        return [
            Device(
                "cuda",
                "NVIDIA GPU",
                unavailable="no NVIDIA GPU or driver was found",
                remedy=f"install NVIDIA's driver on a machine with a GPU, then: {install.ONNXRUNTIME_GPU}",
            )
        ]
    modes = tuple(provider.mode for provider in providers_for("cuda", available))
    devices = []
    for index, gpu in enumerate(gpus):
        name = "cuda" if index == 0 else f"cuda:{index}"
        if modes:
            devices.append(Device(name, gpu.name, modes, _GPU_PRECISIONS))
        else:
            devices.append(
                Device(
                    name,
                    gpu.name,
                    unavailable="this build of onnxruntime has no CUDA provider",
                    remedy=str(install.ONNXRUNTIME_GPU),
                )
            )
    return devices


def _apple_device(kind: str, available: list[str]) -> Device:
    description = {"mps": "Apple GPU", "ane": "Apple Neural Engine"}[kind]
    modes = tuple(provider.mode for provider in providers_for(kind, available))
    if not modes:
        return Device(
            kind,
            description,
            unavailable="this build of onnxruntime has no Core ML provider",
            remedy=str(install.ONNXRUNTIME_AGAIN),
        )
    note = "Core ML decides per operator between this unit and the CPU; ONNX Runtime can't show which it took"
    return Device(kind, description, modes, ("fp16", "fp32"), notes=(note,))
