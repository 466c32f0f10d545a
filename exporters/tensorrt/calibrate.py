"""Ranges of what goes into the backbone's matrix products, from photographs through the fp32 graph in ONNX Runtime.

The graph is given a few more outputs: each product's largest input, and a sample of the tokens for a percentile. What
is written out is small however large the scene (the inputs of da3-large's products at five views are 10 GB).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.base import Progress
from depthport.exporters.core import install
from depthport.exporters.core.errors import ExportError, UnavailableError, one_line
from depthport.exporters.onnx.graph_file import read_graph, scope_of
from depthport.exporters.onnx.targets.graph import constant

if TYPE_CHECKING:
    import onnx_ir

SAMPLE_TOKENS = 128
PERCENTILE = 99.99
_PREFIX = "depthport_"


@dataclass(frozen=True)
class Range:
    """Magnitudes of one product's input over all photographs."""

    largest: float
    percentile: float
    """The :data:`PERCENTILE` of a sample's magnitudes, at most `largest`."""

    def of(self, method: str) -> float:
        """Return the range by `max` or `percentile`."""
        return self.largest if method == "max" else self.percentile


def backbone_products(model: onnx_ir.Model) -> dict[str, onnx_ir.Node]:
    """MatMul nodes of the transformer blocks whose second factor is a constant matrix, by module.

    The module (`backbone.blocks.3.mlp.fc1`) is the same in every precision; names of tensors are not.
    """
    found = {}
    for node in model.graph:
        weight = node.inputs[1] if node.op_type == "MatMul" else None
        if weight is None or not weight.is_initializer() or weight.shape is None or len(weight.shape) != 2:
            continue
        scope = scope_of(node)
        if ".blocks." in scope:
            found[scope] = node
    return found


def calibrate(path: Path, images: Iterable[NDArray[np.float32]], progress: Progress) -> dict[str, Range]:
    """Range of every product's input, by module.

    Args:
        path: the fp32 graph.
        images: inputs (B, N, 3, H, W), at least one.

    Raises:
        UnavailableError: onnxruntime is not installed.
        ExportError: it can't run the graph.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise UnavailableError(f"int8 and fp8 are calibrated with ONNX Runtime: {install.ONNXRUNTIME}") from error
    import onnx_ir as ir

    model = read_graph(path)
    products = backbone_products(model)
    if not products:
        raise ExportError(f"{path.name} has no matrix products in transformer blocks: nothing to quantize")
    scopes = list(products)
    _add_probes(model, [products[scope] for scope in scopes])
    options = ort.SessionOptions()
    options.log_severity_level = 3
    samples: list[list[Any]] = []
    # Beside the graph's own folder, which may hold its weights, nothing may be written: this is another folder.
    with tempfile.TemporaryDirectory() as folder:
        probed = Path(folder) / "probed.onnx"
        ir.save(model, probed, external_data="probed.data")
        try:
            session = ort.InferenceSession(str(probed), options, providers=["CPUExecutionProvider"])
            wanted = [output.name for output in session.get_outputs()]
            for number, image in enumerate(images, 1):
                progress(f"calibrating: scene {number}")
                samples.append(session.run(wanted, {"image": image}))
        except Exception as error:  # its native errors share no base but Exception
            raise ExportError(f"onnxruntime can't run the graph to calibrate it: {one_line(error)}") from error
    ranges = {}
    for index, scope in enumerate(scopes):
        largest = max(float(outputs[2 * index]) for outputs in samples)
        tokens = np.concatenate([np.abs(outputs[2 * index + 1]).ravel() for outputs in samples])
        ranges[scope] = Range(largest, min(largest, float(np.percentile(tokens, PERCENTILE))))
    return ranges


def _add_probes(model: onnx_ir.Model, nodes: list[onnx_ir.Node]) -> None:
    """Replace the graph's outputs by each node's largest first input and a sample of its tokens."""
    import onnx_ir as ir

    graph = model.graph
    outputs = []
    for number, node in enumerate(nodes):
        value = node.inputs[0]
        assert value is not None and value.shape is not None
        width = value.shape[len(value.shape) - 1]
        tokens = int(np.prod([int(str(dim)) for dim in value.shape[:-1]]))
        picked = np.unique(np.linspace(0, tokens - 1, min(tokens, SAMPLE_TOKENS)).astype(np.int64))
        name = f"{_PREFIX}{number}"
        rows, indices = (
            _initializer(graph, f"{name}_{what}", content)
            for what, content in (("rows", np.array([-1, int(str(width))])), ("picked", picked))
        )
        magnitude = ir.node("Abs", [value], name=f"{name}_abs")
        largest = ir.node("ReduceMax", [magnitude.outputs[0]], {"keepdims": 0}, name=f"{name}_max")
        flat = ir.node("Reshape", [value, rows], name=f"{name}_flat")
        sample = ir.node("Gather", [flat.outputs[0], indices], {"axis": 0}, name=f"{name}_sample")
        for created in (magnitude, largest, flat, sample):
            created.outputs[0].name = f"{created.name}_out"
            created.outputs[0].type = value.type
            graph.append(created)
        largest.outputs[0].shape = ir.Shape([])
        sample.outputs[0].shape = ir.Shape([len(picked), int(str(width))])
        outputs += [largest.outputs[0], sample.outputs[0]]
    graph.outputs.clear()
    graph.outputs.extend(outputs)


def _initializer(graph: onnx_ir.Graph, name: str, content: np.ndarray) -> onnx_ir.Value:
    return constant(graph, name, content)
