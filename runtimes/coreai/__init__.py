"""Core AI: the system's runtime on macOS 27, one mode a compute unit; the wheel's own runtime elsewhere."""
