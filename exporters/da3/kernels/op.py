"""Definition of our operators: once in plain PyTorch, which runs everywhere, and as a kernel for CUDA."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., object])
NAMESPACE = "depthport"
DEFINED_IN: dict[str, str] = {}
"""The module of each operator's definition, by the operator's name."""
_LIBRARY = torch.library.Library(NAMESPACE, "FRAGMENT")
# Spelled out: the digest of the source that decides an artifact sees modules that are named (core/source.py).
_CUDA_MODULES = {
    "depthport.exporters.da3.kernels.attention": "depthport.exporters.da3.kernels.cuda.attention",
    "depthport.exporters.da3.kernels.convolution": "depthport.exporters.da3.kernels.cuda.convolution",
    "depthport.exporters.da3.kernels.linear_gelu": "depthport.exporters.da3.kernels.cuda.linear_gelu",
    "depthport.exporters.da3.kernels.maps": "depthport.exporters.da3.kernels.cuda.maps",
    "depthport.exporters.da3.kernels.norms": "depthport.exporters.da3.kernels.cuda.norms",
    "depthport.exporters.da3.kernels.pose": "depthport.exporters.da3.kernels.cuda.pose",
    "depthport.exporters.da3.kernels.qk_norm_rope": "depthport.exporters.da3.kernels.cuda.qk_norm_rope",
    "depthport.exporters.da3.kernels.reference_view": "depthport.exporters.da3.kernels.cuda.reference_view",
    "depthport.exporters.da3.kernels.upsampled": "depthport.exporters.da3.kernels.cuda.upsampled",
}


def operator(empty: Callable[..., object]) -> Callable[[Function], Function]:
    """Make the decorated function an operator `depthport::<its name>`.

    The function is the definition: what the operator computes, in plain PyTorch, on any device. On CUDA the function
    of the same name in the module of the same name in the room `cuda` runs instead; Triton is imported then and not
    before. Registered with `torch.library.Library` and not with `custom_op`, whose first call imports PyTorch's
    compiler: 4 s in a process that compiles nothing (measured beside an H200, torch 2.11).

    Args:
        empty: from the same arguments, tensors of the outputs' shapes and dtypes (for tracing; values do not matter).
    """

    def register(definition: Function) -> Function:
        name, module = definition.__name__, definition.__module__
        _LIBRARY.define(name + torch.library.infer_schema(definition, mutates_args=()))
        _LIBRARY.impl(name, definition, "CompositeExplicitAutograd")
        torch.library.register_fake(f"{NAMESPACE}::{name}", empty, lib=_LIBRARY)

        def on_cuda(*args: object) -> object:
            return getattr(import_module(cuda_module(module)), name)(*args)

        _LIBRARY.impl(name, on_cuda, "CUDA")
        DEFINED_IN[name] = module
        made: Function = getattr(getattr(torch.ops, NAMESPACE), name).default
        return made

    return register


def import_kernels() -> None:
    """Import every kernel for CUDA, and compute the key of Triton's cache: 0.7 s, half of it hashing Triton's own files."""
    for module in _CUDA_MODULES.values():
        import_module(module)
    # An inner function of Triton's, which remembers its result: where it lies elsewhere, the first kernel computes it.
    with suppress(ImportError):
        from triton.runtime.cache import triton_key

        triton_key()


def cuda_module(definition: str) -> str:
    """The module that holds the kernels of the operators defined in module `definition`."""
    return _CUDA_MODULES[definition]
