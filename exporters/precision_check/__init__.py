"""Effect of a precision on each layer: activation ranges, and the first layer that leaves its tolerance.

Works on ONNX files (target `tensorrt`), with ONNX Runtime's fp32 on the CPU as reference; needs no GPU.
"""
