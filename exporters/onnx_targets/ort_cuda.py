"""Target `ort-cuda`: for ONNX Runtime's CUDA provider, which runs opset 23's Attention as one fused kernel.

Measured on an H100, da3-large, 5 views of 504×504, fp16: 77.7 ms with opset 23 and 123 ms with opset 20.
"""

from __future__ import annotations

from exporters.onnx_targets import OnnxTarget, as_exported

TARGET = OnnxTarget("ort-cuda", 23, "ONNX Runtime on CUDA: opset 23 (Attention)", as_exported)
