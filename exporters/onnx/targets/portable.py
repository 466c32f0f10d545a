"""Target `portable`: standard operators only, at the opset that the runtimes of recent years all take.

18 is what torch's exporter emits natively and what ONNX Runtime 1.14, TensorRT 8.6, OpenVINO 2023 and Core ML's and the
web's runtimes read; nothing in the network needs a later one (GELU is written with Erf, attention with MatMul and
Softmax, which runtimes fuse back).
"""

from __future__ import annotations

from depthport.exporters.onnx.targets import PORTABLE, OnnxTarget, as_exported

TARGET = OnnxTarget(PORTABLE, 18, "standard operators, opset 18: every runtime", as_exported)
