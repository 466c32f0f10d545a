"""TensorRT and TensorRT for RTX: what the exporters `tensorrt` and `tensorrt-rtx` are made of."""
