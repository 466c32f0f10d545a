"""What the machine gives every runtime: CPUs, NVIDIA GPUs, threads, cache folders."""
