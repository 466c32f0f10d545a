"""Samples for the page: thinned to what a plot can show, packed as 16-bit steps.

A cell may hold 10^6 samples; a plot has a thousand pixels. Beyond the limit each bucket of consecutive
samples keeps its smallest and its largest, so every spike stays visible. The page says how many are shown of
how many; statistics are never computed from what is shown.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depthport.bench.results.samples import Samples

MOST_PER_SERIES = 2000
LEAST_PER_SERIES = 20
BYTES_PER_SAMPLE = 5.4
"""Two 16-bit numbers in base64, on the page."""
STEPS = 65535


@dataclass(frozen=True)
class Series:
    """A thinned series: milliseconds, seconds since the first sample, and runs of equal launch and state."""

    ms: NDArray[np.float64]
    start_s: NDArray[np.float64]
    launch: NDArray[np.int64]
    steady: NDArray[np.bool_]
    total: int

    def to_json(self) -> dict[str, object]:
        """`ms` and `t` as {low, high, data}: base64 of little-endian uint16, 0 is low and 65535 high.

        `launch` and `steady` are [value, count] runs.
        """
        return {
            "ms": _packed(self.ms),
            "t": _packed(self.start_s),
            "launch": _runs(self.launch),
            "steady": _runs(self.steady),
            "total": self.total,
        }


def limit_per_series(lengths: list[int], budget_bytes: float) -> int:
    """The largest number of points per series that keeps all of them within a budget on the page."""
    limit = MOST_PER_SERIES
    while limit > LEAST_PER_SERIES and sum(min(n, limit) for n in lengths) * BYTES_PER_SAMPLE > budget_bytes:
        limit = max(LEAST_PER_SERIES, int(limit * 0.8))
    return limit


def thin(samples: Samples, limit: int) -> Series:
    """At most about `limit` samples in order, the extremes of every bucket among them."""
    ms = np.asarray(samples.ms, dtype=np.float64)
    count = len(ms)
    keep = np.arange(count) if count <= limit else _extremes(ms, max(1, limit // 2))
    start = _column(samples.start_s, count, np.arange(count, dtype=np.float64))
    start = start - (start.min() if count else 0.0)
    return Series(
        ms[keep],
        start[keep],
        _column(samples.launch, count, np.zeros(count)).astype(np.int64)[keep],
        _column(samples.steady, count, np.ones(count)).astype(bool)[keep],
        count,
    )


def _extremes(values: NDArray[np.float64], buckets: int) -> NDArray[np.intp]:
    """Sorted indices of the minimum and maximum of each of `buckets` consecutive parts."""
    size, longer = divmod(len(values), buckets)
    kept = []
    for first, count, length in ((0, longer, size + 1), (longer * (size + 1), buckets - longer, size)):
        parts = values[first : first + count * length].reshape(count, length)
        starts = first + length * np.arange(count)
        kept += [starts + parts.argmin(axis=1), starts + parts.argmax(axis=1)]
    return np.unique(np.concatenate(kept))


def _column(values: Sequence[float], count: int, default: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64) if len(values) == count else default


def _packed(values: NDArray[np.float64]) -> dict[str, object]:
    """Values in 65536 steps between their extremes: for latencies within a factor of two, steps of 1e-5."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    scale = STEPS / (high - low) if high > low else 0.0
    steps = np.rint((values - low) * scale).astype("<u2")
    return {"low": low, "high": high, "data": base64.b64encode(steps.tobytes()).decode("ascii")}


def _runs(values: np.ndarray) -> list[list[object]]:
    """Run-length form: [[value, count], ...]."""
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.empty(0, np.intp)
    counts = np.diff(starts, append=len(values))
    return [[value, count] for value, count in zip(values[starts].tolist(), counts.tolist(), strict=True)]
