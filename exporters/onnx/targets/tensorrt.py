"""Target `tensorrt`: for TensorRT's ONNX parser (10.14 and newer, and TensorRT for RTX).

TensorRT takes its types from the graph (strong typing), so the graph is written as it shall run: casts stand where the
precision policy puts them and nowhere else. Opset 23's Attention arrives as `IAttention`, which one fused kernel
computes; Gelu is one node. LayerScale is left as it is: TensorRT multiplies in the epilogue, and tensors keep the same
names in every precision, which is what the comparison layer by layer goes by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.onnx.targets import OnnxTarget
from depthport.exporters.onnx.targets.transposed import split_transposed

if TYPE_CHECKING:
    import onnx_ir


def rewrite(model: onnx_ir.Model) -> onnx_ir.Model:
    """Transposed convolutions as 1×1 ones, which exist in every dtype."""
    split_transposed(model)
    return model


TARGET = OnnxTarget("tensorrt", 23, "TensorRT 10.14 and newer, TensorRT for RTX: opset 23 (Attention)", rewrite)
