"""Target `tensorrt-matmul`: as `tensorrt`, for versions before 10.14, whose parser has no Attention.

At opset 20 attention is MatMul, Softmax, MatMul: the pattern that those versions find and fuse.
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


TARGET = OnnxTarget("tensorrt-matmul", 20, "TensorRT 10.13: opset 20 (MatMul and Softmax)", rewrite)
