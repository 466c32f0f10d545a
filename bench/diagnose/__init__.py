"""Diagnosis: what this machine can do, and where a model's time, memory and precision go."""
