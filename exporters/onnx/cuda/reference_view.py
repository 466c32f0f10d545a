"""Graph of :func:`depthport.exporters.da3.static.reference_view.select_reference_view`, in fp32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from depthport.exporters.onnx.cuda.emitter import Emitter, Value


@dataclass(frozen=True)
class Reference:
    """The chosen views."""

    view: Value
    """(B,) int64."""
    index: Value
    """The same, (B, 1) fp32."""


def emit_reference_view(g: Emitter, class_tokens: Value, batch: int, views: int, channels: int) -> Reference:
    """The first view with the lowest score, from class tokens (B·N, C) fp32.

    Sums and comparisons only: a matrix product may be rounded to TF32, and ArgMin leaves open which of two equal views
    it takes.
    """
    tokens = g.reshape(class_tokens, batch, views, channels)
    norm = g.reduce("ReduceL2", tokens, -1)
    unit = g.op("Div", tokens, norm)
    products = g.op("Mul", unit, g.reduce("ReduceSum", unit, 1))
    similarity = g.op("Sub", g.reduce("ReduceSum", products, -1), g.scalar(1.0))
    similarity = g.op("Mul", similarity, g.scalar(1.0 / (views - 1)))
    centred = g.op("Sub", unit, g.reduce("ReduceMean", unit, -1))
    squares = g.reduce("ReduceSum", g.op("Mul", centred, centred), -1)
    variance = g.op("Mul", squares, g.scalar(1.0 / (channels - 1)))
    measures = g.op("Concat", similarity, norm, variance, axis=-1)
    low, high = g.reduce("ReduceMin", measures, 1), g.reduce("ReduceMax", measures, 1)
    span = g.op("Add", g.op("Sub", high, low), g.scalar(1e-8))
    scaled = g.op("Div", g.op("Sub", measures, low), span)
    off_middle = g.op("Abs", g.op("Sub", scaled, g.scalar(0.5)))
    score = g.reduce("ReduceSum", off_middle, -1, keep=False)
    lowest = g.op("Equal", score, g.reduce("ReduceMin", score, 1), dtype=torch.bool)
    position = g.constant("reference.position", torch.arange(views, dtype=torch.float32)[None])
    first = g.op("Where", lowest, position, g.scalar(float(views)), dtype=torch.float32)
    index = g.reduce("ReduceMin", first, 1)
    return Reference(g.cast(g.reshape(index, batch), torch.int64), index)
