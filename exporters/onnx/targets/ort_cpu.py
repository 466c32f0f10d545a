"""Target `ort-cpu`: for ONNX Runtime's CPU provider.

Opset 23, because there attention is one node to be replaced by the provider's tiled kernel; Gelu is one node too.
LayerScale is folded into the weights. The rest (constant folding, blocked convolution layouts, MatMul + Add as Gemm) is
what ONNX Runtime does for the processor it finds when it loads, and depends on that processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.onnx.targets import OnnxTarget
from depthport.exporters.onnx.targets.attention import fuse_attention
from depthport.exporters.onnx.targets.scales import fold_scales

if TYPE_CHECKING:
    import onnx_ir


def rewrite(model: onnx_ir.Model) -> onnx_ir.Model:
    """Fused attention, folded LayerScale."""
    fuse_attention(model)
    fold_scales(model)
    return model


TARGET = OnnxTarget(
    "ort-cpu", 23, "ONNX Runtime on the CPU: fused attention, opset 23", rewrite,
    signed_activations=False, rounded_outputs=True,
)  # fmt: skip
