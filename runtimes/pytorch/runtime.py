"""Runtime `pytorch`: modes that differ in what they do, on every device `torch.accelerator` knows.

| mode | also called | network | cuDNN times its kernels | convolutions | launches |
|---|---|---|---|---|---|
| `upstream` | `minimal` | upstream's own, from `model.safetensors`: the baseline | no | NCHW | one by one |
| `upstream-compile` | | the same under `torch.compile`, as its users would write it | no | NCHW | one by one |
| `eager` | `balanced` | static (`program.pt2`), constants folded | yes | NHWC on CUDA | one by one |
| `graph` (CUDA) | | the same | yes | NHWC | one CUDA graph |
| `compile` | `max` | the same, compiled whole by inductor | yes | NHWC on CUDA | on CUDA one graph |
| `fused` (CUDA) | `max` | fused kernels, of export target `cuda` | no | NHWC | one CUDA graph |

Several GPUs share one scene as device `cuda:0+1` (any number that divides the heads, at most one a view), in mode `fused`
alone and from the same artifact as one GPU (:mod:`depthport.runtimes.pytorch.cards`).

`max` is the fastest a device has: `fused` on CUDA where Triton is installed, `compile` elsewhere. TF32 is on where the
policy `tf32` asks for it and off in every other (upstream's heads under autocast excepted, as its users leave it).
The modes' names are those of the report that started this project, whose three modes were one configuration.

`LoadOptions.memory_fraction` caps device memory (on MPS 0.85 unless given); on a CPU, which has no such allocator, it does
nothing.

On MPS an operator that Metal lacks is an error that names it, as `PYTORCH_ENABLE_MPS_FALLBACK` is left unset; where the
user sets it, the operators that then run on the CPU are in the placement's `fallback`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import ClassVar

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnavailableError, UnsupportedError, UsageError
from depthport.exporters.core.nvidia import begin_context, cuda_devices
from depthport.exporters.core.options import Options, read_options
from depthport.runtimes.base import Device, DeviceRates, LoadOptions, Mode, OperatorTime, Runtime, Session
from depthport.runtimes.host.cpu import cpu_description, has_bf16
from depthport.runtimes.pytorch.cards.names import is_group, members

UPSTREAM = Mode("upstream", "upstream's own forward, as its users run it", ("minimal",))
UPSTREAM_COMPILE = Mode(
    "upstream-compile",
    "upstream's own forward under torch.compile: many graphs, with Python between them",
    precisions=("bf16-mixed", "fp16-mixed", "fp32"),
    alternative=True,
)
EAGER = Mode("eager", "static network, eager; on CUDA cuDNN benchmark, channels-last convolutions", ("balanced",))
COMPILE = Mode("compile", "static network compiled whole by inductor, CUDA graph on CUDA", ("max",))
GRAPH = Mode("graph", "static network, eager, replayed as one CUDA graph")
FUSED = Mode(
    "fused",
    "static network of fused kernels (export target `cuda`), replayed as one CUDA graph",
    ("max",),
    target="cuda",
    precisions=("bf16-fp16", "fp16", "bf16"),
)

_REMEDY = str(install.DA3)
_ACCELERATOR_PRECISIONS = ("bf16-mixed", "bf16", "fp16-mixed", "fp16", "tf32", "fp32")
_MPS_PRECISIONS = ("fp32", "bf16-mixed", "bf16", "fp16-mixed", "fp16")
_CPU_BF16 = ("bf16-poses", "bf16-mixed", "bf16")


class PyTorchRuntime(Runtime):
    """PyTorch, upstream and static."""

    name: ClassVar[str] = "pytorch"
    formats: ClassVar[tuple[str, ...]] = ("pytorch",)
    title: ClassVar[str] = "PyTorch"
    licence: ClassVar[str | None] = "BSD-3-Clause"
    packages: ClassVar[tuple[str, ...]] = ("torch", "depth-anything-3", "triton", "safetensors")
    variables: ClassVar[tuple[str, ...]] = (
        "ATEN_CPU_CAPABILITY", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING",
        "PYTORCH_ENABLE_MPS_FALLBACK", "PYTORCH_MPS_FAST_MATH", "PYTORCH_MPS_PREFER_METAL",
        "PYTORCH_MPS_HIGH_WATERMARK_RATIO", "PYTORCH_MPS_LOW_WATERMARK_RATIO", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "TORCH_BLAS_PREFER_CUBLASLT", "TORCH_CUDNN_USE_HEURISTIC_MODE_B", "TORCH_CUDNN_V8_API_DISABLED",
        "TORCH_MKLDNN_MATMUL_MIN_DIM", "TORCH_MKLDNN_MATMUL_MIN_SIZE", "TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE",
        "TORCHINDUCTOR_COMPILE_THREADS", "TORCHINDUCTOR_COORDINATE_DESCENT_TUNING", "TORCHINDUCTOR_CPP_WRAPPER",
        "TORCHINDUCTOR_FREEZING", "TORCHINDUCTOR_LAYOUT_OPTIMIZATION", "TORCHINDUCTOR_MAX_AUTOTUNE",
        "TORCHINDUCTOR_MAX_AUTOTUNE_GEMM",
    )  # fmt: skip
    baseline_mode: ClassVar[str | None] = UPSTREAM.name
    compiles: ClassVar[Mapping[str, str] | None] = {
        COMPILE.name: EAGER.name, UPSTREAM_COMPILE.name: UPSTREAM.name,
    }  # fmt: skip
    # `compile` comes behind what needs no minutes before its first call.
    preferred: ClassVar[tuple[str, ...]] = (FUSED.name, GRAPH.name, EAGER.name, COMPILE.name, UPSTREAM.name)
    profiled: ClassVar[tuple[str, ...]] = (EAGER.name, GRAPH.name, FUSED.name)

    def probe(self) -> list[Device]:
        if find_spec("torch") is None:
            return [Device("cpu", cpu_description(), unavailable="torch is not installed", remedy=_REMEDY)]
        try:
            import torch
        except (ImportError, OSError, RuntimeError) as error:
            reason = f"torch does not import ({error})"
            return [Device("cpu", cpu_description(), unavailable=reason, remedy=f"{_REMEDY} --force-reinstall")]
        devices = [_cpu_device()]
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        if accelerator is not None:
            devices += [_accelerator_device(accelerator.type, index) for index in range(torch.accelerator.device_count())]
        if accelerator is None or accelerator.type != "cuda":
            devices.append(_no_cuda(torch.version.cuda))
        if sys.platform == "darwin" and (accelerator is None or accelerator.type != "mps"):
            devices.append(
                Device("mps", "Apple GPU", unavailable="this torch finds no Metal device", remedy="use macOS 13 or newer")
            )
        return devices

    def device(self, name: str) -> Device:
        if not is_group(name):
            return super().device(name)
        indices = members(name)
        if len(set(indices)) < len(indices):
            raise UsageError(f"device {name!r} names a GPU twice: name each once, as in cuda:0+1")
        known = {device.name: device for device in self.probe()}
        missing = [f"cuda:{index}" for index in indices if _card(index) not in known]
        if missing:
            super().device("cuda")
            here = sum(device.name.startswith("cuda") for device in known.values())
            raise UnavailableError(
                f"pytorch on {name}: there is no {' or '.join(missing)}, this machine has {here} NVIDIA "
                f"GPU{'s' if here > 1 else ''}: name only those"
            )
        cards = [super(PyTorchRuntime, self).device(_card(index)) for index in indices]
        if FUSED not in cards[0].modes:
            raise UnavailableError(
                f"pytorch on {name}: mode fused, the one for several GPUs, needs Triton: {install.TRITON}"
            )
        described = ", ".join(dict.fromkeys(card.description for card in cards))
        return Device(name, f"{len(cards)} × {described}", (FUSED,), FUSED.precisions)

    def groups(self, names: Iterable[str]) -> list[Device]:
        return [self.device(name) for name in names if is_group(name)]

    def begin(self, device: str | None) -> None:
        # One of several GPUs has a process of its own.
        if device is None or (device.startswith("cuda") and not is_group(device)):
            begin_context(None if device is None else int(device.partition(":")[2] or 0))

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        self.begin(device)
        mode = self.mode(self.device(device), options.mode)
        read_options(Options, options.extra, self.name)
        if is_group(device):
            from depthport.runtimes.pytorch.cards.session import CardsSession

            return CardsSession(artifact, device, options, [f"cuda:{index}" for index in members(device)])
        from depthport.runtimes.pytorch import graph as torch_graph
        from depthport.runtimes.pytorch import session as torch_session
        from depthport.runtimes.pytorch import upstream as torch_upstream

        sessions: dict[str, type[torch_session.TorchSession]] = {
            UPSTREAM.name: torch_upstream.UpstreamSession,
            UPSTREAM_COMPILE.name: torch_upstream.CompiledUpstreamSession,
            EAGER.name: torch_session.EagerSession,
            COMPILE.name: torch_session.CompiledSession,
            GRAPH.name: torch_graph.GraphSession,
            FUSED.name: torch_graph.FusedSession,
        }
        return sessions[mode.name](artifact, device, options)

    def profile(self, session: Session, calls: int) -> tuple[list[OperatorTime], DeviceRates]:
        import torch

        from depthport.runtimes.pytorch.profile import measure_rates, profile_program
        from depthport.runtimes.pytorch.session import EagerSession

        if not isinstance(session, EagerSession):
            raise UnsupportedError("a compiled program has no operators left to time: choose another mode")
        operators = profile_program(session.program, session.bound, calls)
        dtype = getattr(torch, session.artifact.manifest.precision["backbone"])
        return operators, measure_rates(session.bound[0].device, dtype)


def _card(index: int) -> str:
    """The name of one GPU."""
    return "cuda" if index == 0 else f"cuda:{index}"


def _cpu_device() -> Device:
    bf16 = has_bf16()
    notes = [
        "bf16: the CPU multiplies it in hardware" if bf16 else "bf16: this CPU emulates it, slower than fp32; not advised"
    ]
    modes = [UPSTREAM, EAGER]
    if _compiler() is not None:
        modes += [COMPILE, replace(UPSTREAM_COMPILE, precisions=("fp32",))]
    else:
        notes.append("mode compile needs a C++ compiler: apt-get install g++, or xcode-select --install")
    return Device("cpu", cpu_description(), tuple(modes), ("fp32", *(_CPU_BF16 if bf16 else ())), notes=tuple(notes))


def _accelerator_device(kind: str, index: int) -> Device:
    import torch

    name = kind if index == 0 else f"{kind}:{index}"
    if kind == "mps":
        return Device(name, "Apple GPU", (UPSTREAM, EAGER, COMPILE, UPSTREAM_COMPILE), _MPS_PRECISIONS, notes=_mps_notes())
    properties = torch.get_device_module(kind).get_device_properties(index)
    modes = [UPSTREAM, EAGER, *((GRAPH,) if kind == "cuda" else ())]
    notes = []
    if find_spec("triton") is not None:
        modes += [*((FUSED,) if kind == "cuda" else ()), COMPILE, UPSTREAM_COMPILE]
    else:
        notes.append(f"modes compile and fused need Triton: {install.TRITON}")
    return Device(name, properties.name, tuple(modes), _ACCELERATOR_PRECISIONS, notes=tuple(notes))


def _mps_notes() -> tuple[str, ...]:
    from depthport.runtimes.pytorch.device import MPS_FALLBACK_VARIABLE, mps_fallback

    notes: tuple[str, ...] = (
        "mode compile: inductor's Metal backend is a prototype; what it can't compile is a failed cell",
    )
    if mps_fallback():
        said = f"{MPS_FALLBACK_VARIABLE} is set: operators that Metal lacks would run on the CPU; unset it to get an error"
        notes += (said,)
    return notes


def _no_cuda(built_for: str | None) -> Device:
    gpus = cuda_devices()
    if not gpus:
        return Device(
            "cuda",
            "NVIDIA GPU",
            unavailable="no NVIDIA GPU or driver was found",
            remedy="install NVIDIA's driver on a machine with a GPU",
        )
    reason = "this build of torch has no CUDA" if built_for is None else "this torch can't use the installed driver"
    return Device("cuda", gpus[0].name, unavailable=reason, remedy=str(install.TORCH_AGAIN))


def _compiler() -> str | None:
    """The C++ compiler inductor would use on this machine."""
    return next((found for name in ("g++", "clang++", "cl") if (found := shutil.which(name))), None)
