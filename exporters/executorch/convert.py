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
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Progress = Callable[[str], None]

METHOD = "forward"


def lower(
    program: str,
    model: str,
    backend: str,
    progress: Progress,
    inputs: str = "",
    outputs: str = "",
    names: Sequence[str] = (),
) -> dict[str, object]:
    """Lower a saved program to `backend` and write it as a `.pte`.

    Args:
        program: what `torch.export.save` wrote.
        model: the file to write.
        backend: of :mod:`depthport.exporters.executorch.backends`.
        progress: told each step.
        inputs: an `.npz`, in the program's order, to compute the lowered graph on in PyTorch; none: not computed.
        outputs: where to write what that gives, as `names`.

    Returns:
        What the backend took over: `delegates`, `delegated_nodes`, `other_nodes` (operators and how often),
        `delegated_share`.
    """
    import torch

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    progress("reading the copy")
    exported = torch.export.load(program)
    progress("loading ExecuTorch")
    from executorch.devtools.backend_debug import get_delegation_info
    from executorch.exir import to_edge_transform_and_lower

    from depthport.exporters.executorch import backends

    with backends.lowering(backend):
        progress("rewriting the graph")
        exported = exported.run_decompositions(backends.rewrites(backend))
        progress(f"lowering to {backend}")
        edge = to_edge_transform_and_lower(exported, partitioner=[backends.partitioner(backend)])
    lowered = edge.exported_program()
    found = get_delegation_info(lowered.graph_module)
    if inputs:
        progress("computing the lowered graph")
        _save(outputs, names, backends.compute(lowered.module(), backend, _tensors(inputs)))
    progress("planning memory")
    executable = edge.to_executorch()
    progress("writing the program")
    with Path(model).open("wb") as stream:
        executable.write_to_file(stream)
    others = {name: part.non_delegated for name, part in found.delegation_by_operator.items() if part.non_delegated}
    others.pop("getitem", None)  # Takes one of several results: not an operator.
    inside = found.num_delegated_nodes
    return {
        "backend": backend,
        "delegates": found.num_delegated_subgraphs,
        "delegated_nodes": inside,
        "delegated_share": inside / (inside + sum(others.values())),
        "other_nodes": dict(sorted(others.items(), key=lambda item: -item[1])),
    }


def run(
    model: str,
    inputs: str,
    outputs: str,
    names: Sequence[str],
    progress: Progress,  # noqa: ARG001 - isolated functions take it
) -> None:
    """Run a written program on the arrays of an `.npz` (in the method's order); the outputs go to another, by name."""
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(model).load_method(METHOD)
    assert method is not None
    _save(outputs, names, method.execute(_tensors(inputs)))


def _tensors(path: str) -> list[Any]:
    import torch

    return [torch.from_numpy(array) for array in np.load(path).values()]


def _save(path: str, names: Sequence[str], tensors: Iterable[Any]) -> None:
    np.savez(path, **{name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)})
