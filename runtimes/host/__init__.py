"""Resources of the machine for every runtime: CPUs, NVIDIA GPUs, threads, cache folders."""
