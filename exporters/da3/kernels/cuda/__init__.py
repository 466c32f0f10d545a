"""The operators' NVIDIA implementations, in Triton and CUDA C++."""
