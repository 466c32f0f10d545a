"""Differences between backends: their partitioner, their rewrites of the graph, and how what they took is read back.

XNNPACK's programs are executed. ExecuTorch's package has no runtime for the other two on Linux, so there the lowered graph
is computed in PyTorch instead (:func:`compute`), with something in the place of each stretch that the backend took over:

* Core ML: its ML Program, read back from the bytes that will be shipped, in our own interpreter
  (:mod:`depthport.exporters.coreml.mil`). What is not seen: Core ML's own compiler and kernels.
* Vulkan: the stretch as PyTorch had it. What is not seen: Vulkan's serialization and shaders.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

COREML_SYSTEM = "iOS17"
"""The oldest system whose Core ML loads the programs; macOS 14 is the same one."""
_PACKAGE = "model.mlpackage"
_METADATA = "metadata.json"


def partitioner(backend: str) -> object:
    """Partitioner: it decides which operators the backend takes over."""
    if backend == "vulkan":
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return VulkanPartitioner()
    if backend == "coreml":
        import coremltools as ct
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

        # By default it computes in fp16, whatever the graph says; like this, in what the graph says.
        specs = CoreMLBackend.generate_compile_specs(
            minimum_deployment_target=getattr(ct.target, COREML_SYSTEM), compute_precision=ct.precision.FLOAT32
        )
        return CoreMLPartitioner(compile_specs=specs)
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def lowering(backend: str) -> AbstractContextManager[object]:
    """Context in which a graph is lowered: for Core ML, what coremltools gets wrong is put right."""
    if backend != "coreml":
        return nullcontext()
    from depthport.exporters.coreml.shims import import_coremltools, shimmed

    import_coremltools()
    return shimmed()


def rewrites(backend: str) -> dict[Any, Callable[..., Tensor]]:
    """Operators that are written out before lowering, because the backend takes their parts and not them."""
    aten = torch.ops.aten
    found: dict[Any, Callable[..., Tensor]] = {aten.scaled_dot_product_attention.default: plain_attention}
    if backend == "vulkan":
        found |= {aten.conv2d.default: convolution_by_image, aten.conv_transpose2d.input: transposed_by_image}
        found[aten.tan.default] = tangent
    return found


def plain_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: object = None, dropout: float = 0.0, causal: bool = False, *,
    scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """Attention (B, heads, L, D) as products and a softmax, which every backend takes.

    torch's own decomposition guards the softmax against rows that are masked whole, with comparisons and selections that
    XNNPACK does not take: in every block the graph was split, and there are no masks here.
    """
    if mask is not None or causal or dropout or enable_gqa:
        raise ValueError("attention with a mask, dropout or grouped heads is not written out")
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    # One batch of matrices: a product of four dimensions is written with expansions, which split the graph, too.
    left, right, mixed = (tensor.flatten(0, 1) for tensor in (query * factor, key, value))
    found: Tensor = left.bmm(right.transpose(-2, -1)).softmax(dim=-1).bmm(mixed).unflatten(0, query.shape[:2])
    return found


def convolution_by_image(
    images: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0), dilation: Sequence[int] = (1, 1), groups: int = 1,
) -> Tensor:  # fmt: skip
    """A convolution of a batch as one of each image: Vulkan's takes batches of one alone."""
    return _by_image(images, weight, bias, stride, padding, dilation, False, (0, 0), groups)


def transposed_by_image(
    images: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0), output_padding: Sequence[int] = (0, 0), groups: int = 1,
    dilation: Sequence[int] = (1, 1),
) -> Tensor:  # fmt: skip
    """The same of a transposed convolution."""
    return _by_image(images, weight, bias, stride, padding, dilation, True, output_padding, groups)


def tangent(x: Tensor) -> Tensor:
    """Of angles well below a quarter turn, as half a field of view is."""
    return x.sin() / x.cos()


def _by_image(images: Tensor, *more: Any) -> Tensor:
    convolution = torch.ops.aten.convolution.default
    # Its partitioner fails at a split into one part.
    parts = images.split(1) if len(images) > 1 else (images,)
    done = [convolution(part, *more) for part in parts]
    return torch.cat(done) if len(done) > 1 else done[0]


def compute(graph: torch.nn.Module, backend: str, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Compute a lowered graph, each stretch of the backend's as :mod:`this module <.backends>` says."""
    from executorch.exir.delegate import executorch_call_delegate

    class Graph(torch.fx.Interpreter):
        def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if target is not executorch_call_delegate:
                return super().call_function(target, args, kwargs)
            taken, *tensors = args
            return _interpreted(taken, tensors) if backend == "coreml" else taken.original_module.module()(*tensors)

    with torch.inference_mode():
        return tuple(Graph(graph).run(*inputs))


def _interpreted(taken: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of a stretch's ML Program, in the stretch's dtypes: Core ML has no int64."""
    from executorch.backends.apple.coreml import executorchcoreml

    from depthport.exporters.coreml.mil.interpreter import Interpreter
    from depthport.exporters.coreml.mil.package import read_package

    with tempfile.TemporaryDirectory() as name:
        executorchcoreml.unflatten_directory_contents(taken.processed_bytes, name)
        (metadata,) = Path(name).rglob(_METADATA)
        names = json.loads(metadata.read_text(encoding="utf-8"))
        function = read_package(metadata.with_name(_PACKAGE)).function()
        found = Interpreter(function, "declared").run(dict(zip(names["inputNames"], tensors, strict=True)))
    return [found[name].to(dtype) for name, dtype in zip(names["outputNames"], _dtypes(taken), strict=True)]


def _dtypes(taken: Any) -> Iterator[torch.dtype]:
    for node in taken.original_module.graph.output_node().args[0]:
        yield node.meta["val"].dtype
