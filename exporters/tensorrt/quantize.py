"""Q/DQ nodes around the backbone's matrix products: int8 and fp8 for TensorRT's explicit quantization.

As NVIDIA's documentation asks for ("Working with Quantized Types"): symmetric, one scale a tensor for activations, one a
column for weights, which are stored in 8 bits; the product itself keeps the policy's dtype. Everything else (attention,
norms, patch embedding, heads) is left as it is, and so are the blocks in front of the choice of the reference view.
Whether that is good enough is for parity to say: what the roundings of all products together cost on photographs that
were held out is in the manifest, and a warning where it is more than 8 bits are allowed.

Of `int8` with one shape this is only the form that `calibration_method` asks for. Otherwise int8 is planned layer by
layer against a budget, as for CPUs (:mod:`depthport.exporters.quantization`).

NVIDIA's modelopt is not used: its ONNX part pins onnx 1.21 and pulls onnxruntime-gpu and cupy (0.47.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.base import Progress
from depthport.exporters.core.errors import ExportError
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.onnx.exporter import PROTOBUF_LIMIT_BYTES, initializer_bytes
from depthport.exporters.onnx.graph_file import read_graph
from depthport.exporters.onnx.probes import fetch, session
from depthport.exporters.onnx.targets.graph import array, constant, drop_unused_initializers
from depthport.exporters.quantization.images import held_out_scenes, scene, split
from depthport.exporters.quantization.sensitivity import compare
from depthport.exporters.tensorrt.calibrate import Range, backbone_products, calibrate

if TYPE_CHECKING:
    import onnx_ir

LIMITS: Mapping[str, float] = {"int8": 127.0, "fp8": 448.0}
"""Largest magnitude of each kind; fp8 is e4m3fn."""
METHOD: Mapping[str, str] = {"int8": "percentile", "fp8": "max"}
"""Default method for the range of an activation: the one that left the smaller error in depth and poses
(da3-small, 3 views of 70×98, with and without outliers, on photographs that were not calibrated on)."""
HELD_OUT_SCENES = 4
MAX_DEPTH, MAX_ROTATION_DEG = 1e-2, 0.5
"""Error allowed to 8 bits on photographs: relative L2 of depth, degrees of a camera's rotation."""
_SMALLEST = 1e-12


class Quantized(TypedDict):
    """Facts of a quantized graph for the manifest."""

    kind: str
    products: int
    method: str
    images: int
    """That it was calibrated with."""
    own_images: bool
    widest: dict[str, float]
    held_out: dict[str, float]
    """As :func:`held_out` gives it."""


def quantize_file(
    source: Path, reference: Path, destination: Path, request: ExportRequest, calibration: str | None, method: str | None,
    progress: Progress,
) -> Quantized:  # fmt: skip
    """Write the quantized form of a graph; returns what the manifest should say about it.

    Args:
        source: the graph in the policy's dtypes.
        reference: the same graph in fp32, to calibrate with; may be `source`.
        destination: the file to write.
        calibration: a folder or file of photographs; None for the default ones.
        method: `max` or `percentile`; None for the kind's own.

    Raises:
        UsageError, InputError, UnavailableError, ExportError: as :func:`calibrate` and :func:`find_images`.
    """
    import onnx_ir as ir

    kind = request.policy.quantization
    assert kind is not None
    method = method or METHOD[kind]
    images, others = split(calibration)
    ranges = calibrate(reference, (scene(image, request.shape) for image in images), progress)
    progress(f"quantizing to {kind}")
    model = read_graph(source)
    largest = {scope: found.of(method) for scope, found in ranges.items()}
    count = quantize(model, largest, kind)
    scenes = held_out_scenes(images, others, request.shape, HELD_OUT_SCENES)
    found = held_out(reference, largest, kind, scenes, progress)
    ir.save(model, destination, external_data=f"{destination.name}.data" if _large(model) else None)
    return {
        "kind": kind, "products": count, "method": method, "images": len(images), "own_images": calibration is not None,
        "widest": _widest(ranges), "held_out": found,
    }  # fmt: skip


def held_out(
    reference: Path, ranges: Mapping[str, float], kind: str, scenes: Sequence[NDArray[np.float32]], progress: Progress
) -> dict[str, float]:
    """Measure the cost of the quantized products, everything else in fp32: the worst of `scenes`, by ONNX Runtime.

    Args:
        reference: the fp32 graph.
        ranges: as :func:`quantize` takes them.
        kind: `int8` or `fp8`.
        scenes: inputs (B, N, 3, H, W) that calibration did not see, at least one.

    Returns:
        {scenes, depth (relative L2), rotation_deg (of a camera; 0 where there are none)}.
    """
    outputs = []
    for rounds in (False, True):
        model = read_graph(reference)
        names = [output.name for output in model.graph.outputs if output.name in ("depth", "extrinsics")]
        if rounds:
            quantize(model, ranges, kind)
        with session(model) as native:
            outputs.append([fetch(native, names, {"image": image}) for image in scenes])
        progress(f"trying {kind} on {len(scenes)} held-out scenes")
    errors = [compare(found, exact) for exact, found in zip(*outputs, strict=True)]
    depth, rotation = np.max(errors, axis=0)
    return {"scenes": len(scenes), "depth": float(depth), "rotation_deg": float(rotation)}


def beyond(found: Mapping[str, float], kind: str) -> str | None:
    """A line that says what 8 bits cost, where it is more than they are allowed."""
    if found["depth"] <= MAX_DEPTH and found["rotation_deg"] <= MAX_ROTATION_DEG:
        return None
    return (
        f"{kind} changes depth by {found['depth']:.1e} and turns cameras by {found['rotation_deg']:.1f}° on held-out "
        f"photographs (asked for: {MAX_DEPTH:g} and {MAX_ROTATION_DEG:g}°): fp16 keeps both"
    )


def quantize(model: onnx_ir.Model, ranges: Mapping[str, float], kind: str) -> int:
    """Put Q/DQ in front of every backbone product; returns how many.

    Args:
        model: the graph, changed in place.
        ranges: largest magnitude to represent of each product's input, by module.
        kind: `int8` or `fp8`.

    Raises:
        ExportError: a product has no range.
    """
    kept = before_selection(model)
    products = {scope: node for scope, node in backbone_products(model).items() if node not in kept}
    for scope, node in products.items():
        if scope not in ranges:
            raise ExportError(f"no range found for the input of {scope}: the graphs differ")
        _quantize_input(model.graph, node, ranges[scope], kind)
        _quantize_weight(model.graph, node, kind)
    drop_unused_initializers(model.graph)
    return len(products)


def before_selection(model: onnx_ir.Model) -> set[onnx_ir.Node]:
    """Every node that the choice of the reference view depends on; empty where none is chosen.

    Eight bits in front of it flip the choice, and with it every pose (measured on da3-small, 3 views): as in every
    precision, what leads to the choice is not rounded further than the policy's dtypes do.
    """
    found: set[onnx_ir.Node] = set()
    waiting = [node for node in model.graph if node.op_type == "ArgMin"]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            producers = (value.producer() for value in node.inputs if value is not None)
            waiting += [producer for producer in producers if producer is not None]
    return found


def quantize_weight(weight: np.ndarray, kind: str) -> tuple[np.ndarray, NDArray[np.float32]]:
    """(in, out) to 8 bits with one scale a column: values and scales (out,), weight ≈ values · scales."""
    values = weight.astype(np.float32)
    scale = np.maximum(np.abs(values).max(axis=0), _SMALLEST) / LIMITS[kind]
    scaled = values / scale
    if kind == "int8":
        return np.clip(np.rint(scaled), -127, 127).astype(np.int8), scale.astype(np.float32)
    import ml_dtypes

    return scaled.astype(ml_dtypes.float8_e4m3fn), scale.astype(np.float32)


def _quantize_input(graph: onnx_ir.Graph, node: onnx_ir.Node, largest: float, kind: str) -> None:
    import onnx_ir as ir

    value = node.inputs[0]
    assert value is not None and value.dtype is not None
    name = f"{node.name}_input"
    scale = constant(graph, f"{name}_scale", np.array(max(largest, _SMALLEST) / LIMITS[kind], value.dtype.numpy()))
    zero = constant(graph, f"{name}_zero", np.zeros((), _dtype(kind)))
    quantized = ir.node("QuantizeLinear", [value, scale, zero], name=f"{name}_quantize")
    restored = ir.node("DequantizeLinear", [quantized.outputs[0], scale, zero], name=f"{name}_dequantize")
    for created, dtype in ((quantized, ir.DataType.from_numpy(np.dtype(_dtype(kind)))), (restored, value.dtype)):
        created.outputs[0].name = f"{created.name}_out"
        created.outputs[0].type, created.outputs[0].shape = ir.TensorType(dtype), value.shape
        created.metadata_props.update(node.metadata_props)
    graph.insert_before(node, [quantized, restored])
    node.replace_input_with(0, restored.outputs[0])


def _quantize_weight(graph: onnx_ir.Graph, node: onnx_ir.Node, kind: str) -> None:
    import onnx_ir as ir

    value = node.inputs[1]
    weight = array(value)
    assert value is not None and value.dtype is not None and weight is not None
    name = f"{node.name}_weight"
    values, scale = quantize_weight(weight, kind)
    inputs = [
        constant(graph, f"{name}_8bit", values),
        constant(graph, f"{name}_scale", scale.astype(value.dtype.numpy())),
        constant(graph, f"{name}_zero", np.zeros(scale.shape, _dtype(kind))),
    ]
    restored = ir.node("DequantizeLinear", inputs, {"axis": 1}, name=f"{name}_dequantize")
    restored.outputs[0].name = f"{name}_dequantized"
    restored.outputs[0].type, restored.outputs[0].shape = value.type, value.shape
    restored.metadata_props.update(node.metadata_props)
    graph.insert_before(node, restored)
    node.replace_input_with(1, restored.outputs[0])


def _dtype(kind: str) -> Any:
    if kind == "int8":
        return np.int8
    import ml_dtypes

    return ml_dtypes.float8_e4m3fn


def _large(model: onnx_ir.Model) -> bool:
    return initializer_bytes(model) > PROTOBUF_LIMIT_BYTES


def _widest(ranges: Mapping[str, Range]) -> dict[str, float]:
    """Products whose largest input is furthest above the percentile: where clipping costs most."""
    ordered = sorted(ranges.items(), key=lambda item: item[1].largest / max(item[1].percentile, _SMALLEST), reverse=True)
    return {scope: round(found.largest / max(found.percentile, _SMALLEST), 2) for scope, found in ordered[:5]}
