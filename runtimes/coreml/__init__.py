"""Core ML: one mode a set of compute units; runs on macOS."""
