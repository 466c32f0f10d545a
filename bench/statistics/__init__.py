"""Estimates, intervals and verdicts: pure functions of numbers."""
