"""From photographs to depth and cameras: load an artifact, feed it photographs, write common files."""
