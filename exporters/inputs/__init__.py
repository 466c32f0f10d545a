"""Inputs of the network, in numpy: photographs, resampling, cameras."""
