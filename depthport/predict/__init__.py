"""From photographs to depth and cameras: load what was exported, feed it photographs, write what people open."""
