"""ONNX's reference evaluator as a runtime of depthport."""
