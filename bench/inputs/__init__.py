"""What is fed: photographs, cameras, rendered scenes."""
