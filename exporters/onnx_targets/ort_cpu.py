"""Target `ort-cpu`: for ONNX Runtime's CPU provider, which has a kernel of its own for opset 20's Gelu."""

from __future__ import annotations

from exporters.onnx_targets import OnnxTarget, as_exported

TARGET = OnnxTarget("ort-cpu", 20, "ONNX Runtime on the CPU: opset 20 (Gelu)", as_exported)
