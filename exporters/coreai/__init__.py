"""Core AI assets (`.aimodel`): conversion, compression, verification by running the saved asset."""
