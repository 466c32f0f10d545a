"""Work of the converter's process: lowering to a backend, and a run of what was written.

Called through :func:`depthport.exporters.core.isolation.call_isolated`: arguments and results are JSON types, tensors go
through files.

Where the time goes (da3-small, 3 views, py-spy): nowhere in particular. The graph's 1,400 nodes are traced anew about
twenty times, once a pass and partition, and each time torch.fx writes and compiles the graph's Python code (a fifth of
all). The shape hardly matters: 38 s of processor time at 70×98, 44 s at 252×252. Python's garbage collection and
ExecuTorch's own verification, both suspects, cost nothing that shows.

XNNPACK has no LayerNorm, so each stays outside of it and splits the graph. That costs 3 % of the time of blocks like ours
on one thread (six blocks of 900×384, 67.2 ms with LayerNorm and 65.2 ms without, median of 15). Written as means and
products it was no faster (70.9 ms): XNNPACK takes means over pixels only, so the graph was split in more places.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Progress = Callable[[str], None]

METHOD = "forward"


def lower(program: str, model: str, backend: str, progress: Progress) -> dict[str, object]:
    """Lower a saved program to `backend` and write it as a `.pte`.

    Returns:
        What the backend took over: `delegates`, `delegated_nodes`, `other_nodes` (operators and how often).
    """
    import torch

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    progress("reading the copy")
    exported = torch.export.load(program)
    progress("loading ExecuTorch")
    from executorch.devtools.backend_debug import get_delegation_info
    from executorch.exir import to_edge_transform_and_lower

    progress("rewriting the graph")
    exported = exported.run_decompositions({torch.ops.aten.scaled_dot_product_attention.default: plain_attention})
    progress(f"lowering to {backend}")
    edge = to_edge_transform_and_lower(exported, partitioner=[_partitioner(backend)])
    found = get_delegation_info(edge.exported_program().graph_module)
    progress("planning memory")
    lowered = edge.to_executorch()
    progress("writing the program")
    with Path(model).open("wb") as stream:
        lowered.write_to_file(stream)
    others = {name: part.non_delegated for name, part in found.delegation_by_operator.items() if part.non_delegated}
    others.pop("getitem", None)  # Takes one of several results: not an operator.
    return {
        "backend": backend,
        "delegates": found.num_delegated_subgraphs,
        "delegated_nodes": found.num_delegated_nodes,
        "other_nodes": dict(sorted(others.items(), key=lambda item: -item[1])),
    }


def plain_attention(
    query: Any, key: Any, value: Any, mask: object = None, dropout: float = 0.0, causal: bool = False, *,
    scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """Attention (B, heads, L, D) as products and a softmax, which every backend takes.

    torch's own decomposition guards the softmax against rows that are masked whole, with comparisons and selections that
    XNNPACK does not take: in every block the graph was split, and there are no masks here.
    """
    if mask is not None or causal or dropout or enable_gqa:
        raise ValueError("attention with a mask, dropout or grouped heads is not written out")
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    # One batch of matrices: a product of four dimensions is written with expansions, which split the graph, too.
    left, right, mixed = (tensor.flatten(0, 1) for tensor in (query * factor, key, value))
    return left.bmm(right.transpose(-2, -1)).softmax(dim=-1).bmm(mixed).unflatten(0, query.shape[:2])


def _partitioner(backend: str) -> object:
    if backend == "xnnpack":
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        return XnnpackPartitioner()
    if backend == "vulkan":
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return VulkanPartitioner()
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    return CoreMLPartitioner()


def run(model: str, inputs: str, outputs: str, names: list[str], progress: Progress) -> None:  # noqa: ARG001 - isolated functions take it
    """Run a written program on the arrays of an `.npz` (in the method's order); the outputs go to another, by name."""
    import torch
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(model).load_method(METHOD)
    assert method is not None
    found = method.execute([torch.from_numpy(array) for array in np.load(inputs).values()])
    np.savez(outputs, **{name: value.numpy() for name, value in zip(names, found, strict=True)})
