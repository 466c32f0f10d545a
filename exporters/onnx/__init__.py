"""ONNX files: export, the rewrites for each target, quantization, checks."""
