"""ONNX Runtime Web in a page of a real browser."""
