"""Findings on a cell in a regime other than `burst`: latency over minutes, or deadlines at a frame rate.

bench/analysis/regime_analysis.py computes them; journal and results keep them as they are.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

LARGEST = 1e12
"""No latency (ms), memory (MiB) or ratio is larger; such a figure is damage, and would fill a page with digits."""
SMALLEST = 1e-12
"""Smallest figure, so that its reciprocal is finite."""
Positive = Annotated[float, Meta(ge=SMALLEST, lt=LARGEST)]
NotNegative = Annotated[float, Meta(ge=0, lt=LARGEST)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Index = Annotated[int, Meta(ge=-1, lt=2**53)]
"""Index of a launch, round or block; -1 for calls before the first."""
Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
Dimension = Annotated[int, Meta(ge=1, lt=2**31)]
Interval = tuple[Positive, Positive]
"""Low and high end of a 95 % interval."""


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """Latency of one stretch of a sustained run, in ms a call."""

    start_s: NotNegative
    """Seconds since the first sample."""
    n: Count
    median_ms: Positive
    max_ms: Positive


class Onset(Struct, frozen=True, forbid_unknown_fields=True):
    """Time and size of a step up in latency: the device began to throttle, or another program to run."""

    window: Count
    """Index of the first window after it."""
    start_s: NotNegative
    ratio: Positive
    """Level after over level before, above 1."""


class SustainedSummary(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="sustained"):
    """Latency over time. `ratio` is last over first minute: above 1 is slower at the end."""

    seconds: Positive
    n: Count
    window_s: Positive
    windows: tuple[Window, ...]
    edge_s: Positive
    first_ms: Positive | None
    """Median of the first minute; None where the run has not two minutes (or six windows)."""
    last_ms: Positive | None
    ratio: Positive | None
    ratio_ci95: Interval | None
    onset: Onset | None


class FixedRateSummary(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fixed-rate"):
    """Summary of a cell under a fixed frame rate; latencies count from when a frame was due."""

    rate_hz: Positive
    frames: Count
    served: Count
    """Frames started before the time was over; the others are misses too."""
    missed: Count
    miss_share: Share
    miss_share_ci95: tuple[Share, Share]
    """Wilson's. It takes misses as independent; they come in runs, so it is too narrow rather than too
    wide."""
    worst_lateness_ms: NotNegative
    """Most time past a deadline, 0 where none was missed; at least this much where frames were not served."""
    p50_ms: Positive | None
    """Percentiles of latency, where all frames were served and n carries them."""
    p95_ms: Positive | None
    p99_ms: Positive | None
    service_ms: Positive | None
    """Median time of the call alone."""
    achieved_hz: Positive | None
    keeps_up: bool
    """All frames were served and the queue was empty at the end."""
    timer_late_ms: NotNegative
    """Most that a free worker began after a frame was due: what the harness itself adds."""


RegimeSummary = SustainedSummary | FixedRateSummary
