"""LiteRT (`.tflite`) files, converted by litert-torch in a process of its own."""
