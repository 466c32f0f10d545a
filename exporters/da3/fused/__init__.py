"""The static network for NVIDIA GPUs: the same function by operators of `depthport.exporters.da3.kernels`."""
