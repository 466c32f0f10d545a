"""ExecuTorch programs (`.pte`), lowered to a backend in a process of their own."""
