"""ONNX Runtime: one mode an execution provider."""
