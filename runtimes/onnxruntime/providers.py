"""ONNX Runtime's execution providers as data: on which device each runs, as which mode, with which options.

Defaults that would change what is measured are set here and never left to the library: TF32 follows the artifact's
precision policy (the CUDA provider's own default is on), and the device memory limit follows `memory_fraction`.

One exception: `use_tf32=0` keeps the CUDA provider's convolutions off the tensor cores in fp16 too (its `Conv` deselects
every cuDNN engine with the note TENSOR_CORE): 35.7 instead of 21.7 ms for five views. So it is on for artifacts with an
fp16 head, whose fp32 parts have no convolution. What they have of matrix products may then be rounded to TF32, unless the
graph prevents it (target `ort-cuda` does where it matters: :func:`depthport.exporters.onnx.cuda.camera.split_product`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from depthport.runtimes.base import Mode

ProviderOptions = dict[str, str]
HOPPER = (9, 0)
# ONNX Runtime's `AttentionBackend`. cuDNN's attention uses Hopper's matrix instructions; the provider's own flash
# attention is older than they are. (1.31 prefers cuDNN there by itself.) The second is for what cuDNN does not take: fp32.
EFFICIENT_ATTENTION, CUDNN_ATTENTION = 2, 8
CUDA_TARGET = "ort-cuda"
CPU_PROVIDER = "CPUExecutionProvider"


@dataclass(frozen=True)
class ProviderContext:
    """Context that a provider's options may depend on."""

    index: int
    """Ordinal of the device."""
    tf32: bool
    threads: int
    cache_dir: str
    memory_limit_bytes: int | None = None
    fp16_convolutions: bool = False
    """True if the artifact's convolutions are fp16."""
    capability: tuple[int, int] = (0, 0)
    """Compute capability of the GPU."""
    dtypes: tuple[str, ...] = ()
    """Dtypes of the artifact's parts (exporters/core/precision.py), the backbone's first."""

    @property
    def in_fp32(self) -> bool:
        return "float32" in self.dtypes[:1]


@dataclass(frozen=True)
class Provider:
    """One execution provider on one kind of device."""

    name: str
    """ONNX Runtime's name of it."""
    device: str
    mode: Mode
    memory: str
    """Memory of inputs and outputs at the device boundary, in OrtValue's terms (`cpu`, `cuda`)."""
    options: Callable[[ProviderContext], ProviderOptions]
    cuda_graph: bool = False
    """True if it captures the graph of kernels once and replays it."""


def _none(_context: ProviderContext) -> ProviderOptions:
    return {}


def _cuda(context: ProviderContext) -> ProviderOptions:
    options = {
        "device_id": str(context.index),
        "use_tf32": "1" if context.tf32 or context.fp16_convolutions else "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "fuse_conv_bias": "1",
        "arena_extend_strategy": "kSameAsRequested",
    }
    if context.capability >= HOPPER:
        options["sdpa_kernel"] = str(CUDNN_ATTENTION | EFFICIENT_ATTENTION)
    if context.memory_limit_bytes is not None:
        options["gpu_mem_limit"] = str(context.memory_limit_bytes)
    return options


def _cuda_graph(context: ProviderContext) -> ProviderOptions:
    return {**_cuda(context), "enable_cuda_graph": "1"}


def _tensorrt(context: ProviderContext) -> ProviderOptions:
    # TensorRT 10 takes half precision from these two, 11 from the graph alone; the graph is typed either way.
    return {
        "device_id": str(context.index),
        "trt_fp16_enable": str(int("float16" in context.dtypes)),
        "trt_bf16_enable": str(int("bfloat16" in context.dtypes)),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": context.cache_dir,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": context.cache_dir,
    }


def _tensorrt_rtx(context: ProviderContext) -> ProviderOptions:
    return {"device_id": str(context.index), "nv_runtime_cache_path": context.cache_dir}


def _openvino(context: ProviderContext) -> ProviderOptions:
    return {"device_type": "CPU", "num_of_threads": str(context.threads), "cache_dir": context.cache_dir}


def _coreml(units: str) -> Callable[[ProviderContext], ProviderOptions]:
    def options(context: ProviderContext) -> ProviderOptions:
        return {
            "ModelFormat": "MLProgram",
            "MLComputeUnits": units,
            "RequireStaticInputShapes": "1",
            "ModelCacheDirectory": context.cache_dir,
        }

    return options


def _openvino_plugin(kind: str, context: ProviderContext) -> ProviderOptions:
    """It computes in bf16 where a CPU has it, whatever its option `precision` says; it follows a hint."""
    hint = {"INFERENCE_PRECISION_HINT": "f32"} if context.in_fp32 else {"EXECUTION_MODE_HINT": "ACCURACY"}
    threads = {"INFERENCE_NUM_THREADS": str(context.threads)} if kind == "cpu" else {}
    return {"load_config": json.dumps({kind.upper(): {**hint, **threads, "NUM_STREAMS": "1"}})}


def _ggml_plugin(_kind: str, context: ProviderContext) -> ProviderOptions:
    """It stores weights in fp16 and takes one thread unless told."""
    return {"weights": "f32" if context.in_fp32 else "f16", "threads": str(context.threads)}


_PLUGINS = {"openvino": _openvino_plugin, "ggml": _ggml_plugin}
"""By mode: plug-ins that without options compute something else than they are asked to."""


def plugin_options(mode: str, kind: str) -> Callable[[ProviderContext], ProviderOptions]:
    """Options of a plug-in provider (:mod:`depthport.runtimes.onnxruntime.plugins`) on a kind of device (`cpu`)."""
    return partial(_PLUGINS[mode], kind) if mode in _PLUGINS else _none


ALTERNATIVES = (
    Mode(
        "portable", "ONNX Runtime's own CPU kernels on the portable file, not rewritten for them", target="portable",
        precisions=("fp32",), alternative=True,
    ),
    Mode(
        "quantize-dynamic", "the portable file after ONNX Runtime's own quantize_dynamic", target="portable",
        precisions=("int8",), export_options=(("mix", "dynamic"),), alternative=True,
    ),
    Mode(
        "upstream-export", "upstream's own network through torch.onnx.export, as it is", target="portable",
        precisions=("fp32",), export_options=(("network", "upstream"),), alternative=True,
    ),
)  # fmt: skip
"""Modes of the CPU provider."""

PROVIDERS: tuple[Provider, ...] = (
    Provider(
        CPU_PROVIDER,
        "cpu",
        Mode("cpu", "ONNX Runtime's own CPU kernels (MLAS), whole graph", (CPU_PROVIDER,)),
        "cpu",
        _none,
    ),
    Provider(
        "OpenVINOExecutionProvider",
        "cpu",
        Mode("openvino", "subgraphs compiled by OpenVINO for the CPU", ("OpenVINOExecutionProvider",)),
        "cpu",
        _openvino,
    ),
    *(Provider(CPU_PROVIDER, "cpu", mode, "cpu", _none) for mode in ALTERNATIVES),
    Provider(
        "CUDAExecutionProvider",
        "cuda",
        Mode("cuda", "cuDNN/cuBLAS kernels launched one by one", ("CUDAExecutionProvider",), target=CUDA_TARGET),
        "cuda",
        _cuda,
    ),
    Provider(
        "CUDAExecutionProvider",
        "cuda",
        Mode("cuda-graph", "the same kernels captured once and replayed as one CUDA graph", target=CUDA_TARGET),
        "cuda",
        _cuda_graph,
        cuda_graph=True,
    ),
    Provider(
        "TensorrtExecutionProvider",
        "cuda",
        # Without `fp32`: this provider can't turn TF32 off.
        Mode(
            "tensorrt",
            "subgraphs built into TensorRT engines",
            ("TensorrtExecutionProvider",),
            target="tensorrt",
            precisions=("fp16", "bf16", "tf32"),
        ),
        "cuda",
        _tensorrt,
    ),
    Provider(
        "NvTensorRTRTXExecutionProvider",
        "cuda",
        Mode(
            "tensorrt-rtx",
            "subgraphs built into TensorRT-RTX engines",
            ("NvTensorRTRTXExecutionProvider",),
            target="tensorrt",
            precisions=("fp16", "bf16", "tf32"),
        ),
        "cuda",
        _tensorrt_rtx,
    ),
    Provider(
        "CoreMLExecutionProvider",
        "mps",
        Mode("coreml", "Core ML on CPU and GPU", ("CoreMLExecutionProvider",)),
        "cpu",
        _coreml("CPUAndGPU"),
    ),
    Provider(
        "CoreMLExecutionProvider",
        "ane",
        Mode("coreml", "Core ML on CPU and Neural Engine", ("CoreMLExecutionProvider",)),
        "cpu",
        _coreml("CPUAndNeuralEngine"),
    ),
)
"""Providers in each device's order of preference: its first available one is the default mode."""


def providers_for(device: str, available: list[str]) -> list[Provider]:
    """The providers of `available` that run on `device` (`cuda:1` is a `cuda`)."""
    kind = device.partition(":")[0]
    return [provider for provider in PROVIDERS if provider.device == kind and provider.name in available]
