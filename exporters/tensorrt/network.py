"""The parsed network, checked before it is built: every tensor has the type the precision policy gives it.

TensorRT's types come from the graph alone, so what the parser made of it is what will run. The walk needs no GPU. It
goes through every layer of the `INetworkDefinition` and answers:

* has each tensor that the ONNX file names the type it has there;
* is each matrix product, convolution and attention in the dtype that the policy gives its part of the network;
* did attention arrive as `IAttention`, as MatMul, Softmax, MatMul (which older versions fuse), or not at all;
* are two floating-point casts in a row, with nothing computed between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from depthport.exporters.core.precision import PrecisionPolicy

if TYPE_CHECKING:
    import tensorrt

FLOATS: Mapping[str, str] = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
"""TensorRT's names of the floating-point types a policy speaks of."""

_FROM_ONNX: Mapping[str, str] = {
    "FLOAT": "FLOAT", "FLOAT16": "HALF", "BFLOAT16": "BF16", "INT8": "INT8", "UINT8": "UINT8", "INT32": "INT32",
    "INT64": "INT64", "BOOL": "BOOL", "FLOAT8E4M3FN": "FP8",
}  # fmt: skip
_PRODUCTS = ("MATRIX_MULTIPLY", "CONVOLUTION", "DECONVOLUTION", "ATTENTION_OUTPUT")
_MOVES = frozenset({"SHUFFLE", "SLICE", "IDENTITY", "SQUEEZE", "UNSQUEEZE", "CONCATENATION", "GATHER"})
"""Layers that move values and compute nothing."""
_METADATA = "[ONNX Layer: "


@dataclass(frozen=True)
class Layer:
    """One layer as plain data."""

    name: str
    kind: str
    """TensorRT's layer type."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dtypes: tuple[str, ...]
    """Dtypes of the outputs, in TensorRT's names."""
    node: str
    """The ONNX node it comes from; empty for what the parser added."""


@dataclass(frozen=True)
class Audit:
    """Findings of the walk."""

    layers: dict[str, int]
    """Number of layers by type."""
    products: dict[str, dict[str, int]]
    """Matrix products, convolutions and attention: number by part of the network and dtype."""
    attention: dict[str, int]
    """Form in which attention arrived: `IAttention` or `MatMul-Softmax-MatMul`, with its number."""
    errors: tuple[str, ...]
    """Deviations from the policy, one line each."""
    notes: tuple[str, ...] = ()
    """Findings that cost time but change no result."""
    checked: int = 0
    """Tensors whose type was compared with the ONNX file's."""

    def to_json(self) -> dict[str, object]:
        return {
            "layers": self.layers, "products": self.products, "attention": self.attention, "notes": list(self.notes),
            "tensors_checked": self.checked,
        }  # fmt: skip


@dataclass(frozen=True)
class OnnxFacts:
    """Facts of the ONNX file that the audit needs."""

    types: Mapping[str, str] = field(default_factory=dict)
    """ONNX's type name of each tensor a node gives."""
    scopes: Mapping[str, str] = field(default_factory=dict)
    """Path of the module (`backbone.blocks.0.attn.qkv`) that each node comes from, by the node's name."""
    attentions: int = 0
    """Attention nodes, or else Softmax nodes: how many attentions there are."""


def walk(network: tensorrt.INetworkDefinition) -> list[Layer]:
    """Every layer of an `INetworkDefinition`, in its order."""
    return [_layer(network.get_layer(index)) for index in range(network.num_layers)]


def _layer(layer: tensorrt.ILayer) -> Layer:
    inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
    outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
    metadata = layer.metadata or ""
    node = metadata[metadata.index(_METADATA) + len(_METADATA) :].split("]")[0] if _METADATA in metadata else ""
    return Layer(
        layer.name, layer.type.name, tuple(t.name for t in inputs if t is not None),
        tuple(t.name for t in outputs), tuple(t.dtype.name for t in outputs), node,
    )  # fmt: skip


def audit(layers: Sequence[Layer], facts: OnnxFacts, policy: PrecisionPolicy) -> Audit:
    """Check a walked network against its ONNX file and its policy."""
    produced = {name: layer for layer in layers for name in layer.outputs}
    errors: list[str] = []
    checked = 0
    for layer in layers:
        for name, dtype in zip(layer.outputs, layer.dtypes, strict=True):
            wanted = _FROM_ONNX.get(facts.types.get(name, ""))
            if wanted is not None:
                checked += 1
                if wanted != dtype:
                    errors.append(f"tensor {name!r} is {dtype}, the ONNX file has {wanted}")
    products: dict[str, Counter[str]] = {}
    for layer in layers:
        if layer.kind in _PRODUCTS:
            part, expected = part_of(facts.scopes.get(layer.node, ""), policy)
            found = FLOATS.get(layer.dtypes[0], layer.dtypes[0])
            products.setdefault(f"{part} {layer.kind.lower()}", Counter())[found] += 1
            if expected is not None and found != expected:
                errors.append(f"{layer.kind.lower()} {layer.node!r} of the {part} is {found}, the policy says {expected}")
    attention = _attention(layers, produced)
    if sum(attention.values()) != facts.attentions:
        errors.append(f"{facts.attentions} attentions went in and {sum(attention.values())} arrived: {attention or 'none'}")
    return Audit(
        dict(Counter(layer.kind for layer in layers).most_common()),
        {part: dict(count) for part, count in sorted(products.items())},
        attention, tuple(errors), tuple(cast_chains(layers, produced)), checked,
    )  # fmt: skip


def part_of(scope: str, policy: PrecisionPolicy) -> tuple[str, str | None]:
    """The part of the network a module belongs to, and its dtype in the policy; None where the policy says nothing."""
    words = scope.split(".")
    # The last 1×1 convolution feeds an exponential: fp32 in every policy.
    if "logits" in words:
        return "logits", "float32"
    # Of open dimensions, the resize of the learned position embedding (exporters/da3/dynamic/positions.py) likewise.
    if "positions" in words:
        return "positions", "float32"
    for part in ("backbone", "camera", "head"):
        if part in words:
            return part, getattr(policy, part)
    return "other", None


def cast_chains(layers: Sequence[Layer], produced: Mapping[str, Layer]) -> list[str]:
    """Floating-point casts that follow another one through layers that compute nothing."""
    found = []
    for layer in layers:
        if not _float_cast(layer):
            continue
        before = produced.get(layer.inputs[0])
        while before is not None and before.kind in _MOVES and before.inputs:
            before = produced.get(before.inputs[0])
        if before is not None and _float_cast(before):
            found.append(f"cast {layer.name!r} to {layer.dtypes[0]} follows cast {before.name!r} to {before.dtypes[0]}")
    return found


def _float_cast(layer: Layer) -> bool:
    return layer.kind == "CAST" and layer.dtypes[0] in FLOATS


def _attention(layers: Sequence[Layer], produced: Mapping[str, Layer]) -> dict[str, int]:
    fused = sum(layer.kind == "ATTENTION_OUTPUT" for layer in layers)
    readers: dict[str, list[Layer]] = {}
    for layer in layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer)
    pattern = sum(
        _comes_from_product(layer, produced) and _goes_into_product(layer, readers)
        for layer in layers
        if layer.kind == "SOFTMAX"
    )
    return {name: count for name, count in (("IAttention", fused), ("MatMul-Softmax-MatMul", pattern)) if count}


def _goes_into_product(softmax: Layer, readers: Mapping[str, Sequence[Layer]]) -> bool:
    """Return whether what a softmax gives is multiplied, reshaped on the way or not."""
    waiting = list(readers.get(softmax.outputs[0], ()))
    while waiting:
        layer = waiting.pop()
        if layer.kind == "MATRIX_MULTIPLY":
            return True
        if layer.kind in ("CAST", *_MOVES):
            waiting += readers.get(layer.outputs[0], ())
    return False


def _comes_from_product(softmax: Layer, produced: Mapping[str, Layer]) -> bool:
    """Return whether a softmax normalises a matrix product, scaled or not."""
    before = produced.get(softmax.inputs[0])
    while before is not None and before.kind in ("ELEMENTWISE", "CAST", *_MOVES) and before.inputs:
        before = produced.get(before.inputs[0])
    return before is not None and before.kind == "MATRIX_MULTIPLY"
