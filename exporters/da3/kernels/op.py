"""How an operator of ours is defined: once in plain PyTorch, which runs everywhere, and as a kernel for CUDA."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

NAMESPACE = "depthport"


def operator(empty: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Make the decorated function an operator `depthport::<its name>`.

    The function is the definition: what the operator computes, in plain PyTorch, on any device. On CUDA the function
    of the same name in the module of the same name with `_cuda` appended runs instead; Triton is imported then and
    not before.

    Args:
        empty: from the same arguments, tensors of the outputs' shapes and dtypes (for tracing; values do not matter).
    """

    def register(definition: Callable[..., Any]) -> Any:
        name, module = definition.__name__, definition.__module__
        op = torch.library.custom_op(f"{NAMESPACE}::{name}", definition, mutates_args=())
        op.register_fake(empty)

        def on_cuda(*args: Any) -> Any:
            return getattr(import_module(f"{module}_cuda"), name)(*args)

        op.register_kernel("cuda", on_cuda)
        return op

    return register
