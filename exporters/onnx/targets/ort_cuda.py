"""Target `ort-cuda`: for ONNX Runtime's CUDA provider (:mod:`depthport.exporters.onnx.cuda`).

Every node has a CUDA kernel and every shape is fixed, so the provider can capture the whole as one CUDA graph. `NhwcConv`
has no other kernel than CUDA's: elsewhere the portable graph is the one to run. bf16 is refused, because the provider's
convolutions have no such kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.onnx.targets import OnnxTarget, as_exported

if TYPE_CHECKING:
    import onnx_ir
    from torch import nn


def emit(network: nn.Module) -> onnx_ir.Model:
    """The network in the provider's fused operators."""
    from depthport.exporters.onnx.cuda.network import emit_network

    return emit_network(network)


TARGET = OnnxTarget(
    "ort-cuda",
    18,
    "ONNX Runtime on CUDA: fused attention and norms, NHWC head",
    as_exported,
    emit=emit,
    dtypes=("float16", "float32"),
)
