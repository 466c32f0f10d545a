"""What goes into the network, in numpy: photographs, resampling, cameras."""
