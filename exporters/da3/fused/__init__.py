"""The static network for NVIDIA GPUs: the same function, written with the operators of
`depthport.exporters.da3.kernels`."""
