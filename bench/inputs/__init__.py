"""Inputs: photographs, cameras, rendered scenes."""
