"""Target `openvino`: the portable graph, and of `int8` the form that OpenVINO's CPU plugin is fastest with.

Its integer kernels take uint8 activations (AVX-512's VNNI multiplies unsigned by signed; int8 ones go through a slower
kernel: 76 instead of 58 ms for 22 layers of da3-small, Emerald Rapids, one thread) and give fp32, so a convolution's
output needs no rounding. Other precisions have nothing of their own: `portable` is what the runtime reads.
"""

from __future__ import annotations

from depthport.exporters.onnx.targets import OnnxTarget, as_exported

TARGET = OnnxTarget(
    "openvino", 18, "OpenVINO on the CPU: of int8, uint8 activations and no rounded outputs", as_exported,
    signed_activations=False,
)  # fmt: skip
