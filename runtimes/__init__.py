"""Runtimes: one adapter a runtime (probe, load, run, synchronize, close)."""
