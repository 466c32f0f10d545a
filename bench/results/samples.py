"""Raw samples, as results keep them."""

from __future__ import annotations

from msgspec import Struct

from depthport.bench.results.regimes import Dimension, Index, Positive, PositiveShare, Share

COLUMNS = ("start_s", "launch", "round", "block", "steady", "calm", "doubt")
"""Columns of :class:`Samples`, beside the latencies: each has one value a sample, or none at all."""


class Samples(Struct, frozen=True, forbid_unknown_fields=True):
    """Raw samples of one boundary, column by column, in the order taken."""

    ms: list[Positive] = []
    """Milliseconds per call (a group of k calls divided by k)."""
    start_s: list[float] = []  # seconds since the run's start
    launch: list[Index] = []
    round: list[Index] = []
    block: list[Index] = []
    steady: list[bool] = []
    """False while the cell was still warming up, and in a block that was run again because its threads waited for a CPU;
    such samples enter no statistic."""
    calm: list[PositiveShare] = []
    """Share left without waiting for a CPU (bench/workers/waiting.py), for ratios; empty where the machine was quiet."""
    doubt: list[Share] = []
    """Share taken off by a guess; empty where `calm` is."""
    calls_per_sample: Dimension = 1

    def __post_init__(self) -> None:
        for name in COLUMNS:
            if len(getattr(self, name)) not in (0, len(self.ms)):
                raise ValueError(f"`{name}` does not match the {len(self.ms)} samples")
