"""PyTorch: upstream itself, saved programs, compiled and captured."""
