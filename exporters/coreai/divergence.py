"""Divergence of an asset from the network, by coreai-torch's tools: graph difference and first diverging operation.

Those tools load an `.aimodel`, which only macOS can; here they are given the compiled form, so they answer anywhere.
Intermediates are compared at the smallest shape: the operations are the same, and so is where they go wrong.
"""

from __future__ import annotations

import asyncio
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import UnsupportedError, one_line
from depthport.exporters.coreai.executable import COMPILED_SUFFIX, ENTRY, SUFFIX, compile_asset
from depthport.exporters.coreai.verify import distance

if TYPE_CHECKING:
    from coreai.authoring import AIProgram
    from networkx import DiGraph
    from torch.export import ExportedProgram
    from torch.fx import Node


@dataclass(frozen=True)
class GraphDifference:
    """An asset's program against another."""

    same: bool
    """Provably the same graph but for the values of its constants."""
    operations: int
    """Number of operations of the asset."""
    modified: tuple[str, ...]
    """Operations of the asset that the other has with other operands or attributes."""
    missing: tuple[str, ...]
    """Operations of the other that the asset lacks."""
    extra: tuple[str, ...]
    """Operations of the asset that the other lacks."""


@dataclass(frozen=True)
class Step:
    """One operation of torch's graph and its comparison."""

    name: str
    """Name of the node in torch's exported graph."""
    operator: str
    path: str
    """Path of the module it comes from."""
    status: str
    """coreai-torch's word: `PASS` and `FAIL` were compared; the others say why not."""
    relative: float | None
    """L2 error over the L2 norm; None where nothing was compared."""
    users: tuple[str, ...] = ()
    """Operations that read the result."""


def graph_difference(asset: Path, program: AIProgram) -> GraphDifference:
    """A saved asset's program against one just converted from the network."""
    with _quiet(), TemporaryDirectory() as folder:
        from coreai.authoring import AIModelAsset
        from coreai_torch.debugging.graph_diff import compute_coreai_program_diff

        # Writing changes the function's own attributes: both are read back.
        program.save_asset(Path(folder) / f"other{SUFFIX}")
        saved, other = (AIModelAsset.load(path).program for path in (asset, Path(folder) / f"other{SUFFIX}"))
        diff = compute_coreai_program_diff(saved, other, entry_point=ENTRY)
        # The diff holds references into both programs: all is read before either goes.
        return GraphDifference(
            bool(diff.is_isomorphic),
            sum("op_name" in data for _, data in diff.source_graph.nodes(data=True)),
            _names(diff.source_graph, [a for a, _ in diff.modified_node_pairs]),
            _names(diff.target_graph, diff.unmapped_target_nodes),
            _names(diff.source_graph, diff.unmapped_source_nodes),
        )


def steps(source: ExportedProgram, program: AIProgram, inputs: Mapping[str, np.ndarray]) -> list[Step]:
    """Every operation of torch's graph that is mapped to one of Core AI's, both run on the same inputs, in torch's order.

    Args:
        source: torch's graph.
        program: converted from it with traces.
        inputs: by the program's names, in the graph's order.

    Raises:
        UnsupportedError: the installed coreai-torch has no such tools.
    """
    with _quiet(), TemporaryDirectory() as folder:
        try:
            return asyncio.run(_steps(source, program, inputs, Path(folder)))
        except (ImportError, AttributeError) as error:
            raise UnsupportedError(
                f"coreai-torch's debugging tools are missing ({one_line(error)}): install 0.4.3, or use --no-run"
            ) from error


async def _steps(source: ExportedProgram, program: AIProgram, inputs: Mapping[str, np.ndarray], folder: Path) -> list[Step]:
    import torch
    from coreai.runtime import AIModel
    from coreai_torch.debugging.inspector import CoreAIInspector, TorchFXInspector
    from coreai_torch.debugging.intermediates import compare_intermediates
    from coreai_torch.debugging.torch_utils import get_torch_to_coreai_output_mapping

    nodes = {node.name: node for node in source.graph.nodes if node.op == "call_function"}
    tensors = tuple(torch.from_numpy(array) for array in inputs.values())
    ours = await TorchFXInspector(source).get_intermediates_for_ops(list(nodes), tensors)
    mappings = get_torch_to_coreai_output_mapping(program)
    program.save_asset(folder / f"debug{SUFFIX}")
    compiled = folder / f"debug{COMPILED_SUFFIX}"
    compile_asset(folder / f"debug{SUFFIX}", compiled, debug=True)
    inspector = CoreAIInspector(model=await AIModel.load(compiled), function_name=ENTRY)
    theirs = await inspector.get_intermediates_for_ops([m.target_op_id for m in mappings.values()], dict(inputs))
    report = compare_intermediates(ours, theirs, mappings)
    found = {entry.torch_node_name: entry for entry in report.comparisons}
    return [
        Step(
            name, str(node.target).removeprefix("aten.").partition(".")[0], _path(node), found[name].status.name,
            _relative(ours.get(name), theirs.get(found[name].coreai_op_id)), tuple(user.name for user in node.users),
        )
        for name, node in nodes.items()
        if name in found
    ]  # fmt: skip


def first_diverging(found: Sequence[Step], factor: float = 10.0, floor: float = 1e-4) -> Step | None:
    """The first operation whose error is over `floor` and `factor` times the largest before it; None where none is.

    An error that no operation after it shows is not the network's: coreai-torch maps some operations to a neighbour.
    """
    errors = {step.name: step.relative for step in found if step.relative is not None}
    largest = 0.0
    for step in found:
        if step.relative is None:
            continue
        read = [errors[user] for user in step.users if user in errors]
        if step.relative > max(floor, factor * largest) and (not read or max(read) > floor):
            return step
        largest = max(largest, 0.0 if step.relative > floor else step.relative)
    return None


def summary(found: Sequence[Step]) -> dict[str, int]:
    """Count operations by the result of their comparison; several words for not compared are one."""
    return dict(Counter("compared" if s.relative is not None else f"not compared ({s.status.lower()})" for s in found))


def _relative(ours: Sequence[np.ndarray | None] | None, theirs: Sequence[np.ndarray | None] | None) -> float | None:
    if not ours or not theirs or len(ours) != 1 or ours[0] is None or theirs[0] is None:
        return None
    a, b = np.squeeze(np.asarray(theirs[0])), np.squeeze(np.asarray(ours[0]))
    return distance(a, b) if a.shape == b.shape else None


def _path(node: Node) -> str:
    paths = [str(path) for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    return paths[-1] if paths else ""


def _names(graph: DiGraph, nodes: Sequence[int]) -> tuple[str, ...]:
    """Kinds of the nodes with their number, most first."""
    kinds = Counter(str(graph.nodes[node].get("op_name") or graph.nodes[node].get("label") or "value") for node in nodes)
    return tuple(f"{count} {kind}" for kind, count in kinds.most_common())


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("coreai_torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
