"""The largest batch that fits a share of the device's memory, found by trying: growth by doubling, then bisection.

How much a batch takes can't be computed (allocators round up, libraries take workspaces, compilers fuse), so each
size is run once. The search itself knows neither device nor framework: it asks a function.
"""

from __future__ import annotations

from collections.abc import Callable

from depthport.exporters.core.errors import UsageError

Trial = Callable[[int], "float | None"]
"""Runs a batch of that size and returns its peak memory in MiB; None where it did not fit (out of memory)."""


def largest_batch(trial: Trial, limit_mib: float, most: int = 1024) -> int:
    """The largest size from 1 to `most` that stays within the limit; 0 where one does not.

    Args:
        trial: called at most 2 log₂(most) + 2 times, never twice with one size. Peaks should grow with the size; where
            they do not, the result still fits, but a larger one may too.
        limit_mib: what a batch may take.
        most: largest size of interest.

    Raises:
        UsageError: a limit that is not above zero, or `most` below 1.
    """
    if not limit_mib > 0 or most < 1:
        raise UsageError(f"a batch search needs a limit above 0 MiB and at least one size, got {limit_mib} and {most}")
    tried: set[int] = set()

    def fits(size: int) -> bool:
        peak = trial(size)
        tried.add(size)
        return peak is not None and peak <= limit_mib

    fitting, size = 0, 1
    while size <= most and fits(size):
        fitting, size = size, size * 2
    too_large = min(size, most + 1)
    if fitting and too_large > most and fitting < most and fits(most):
        fitting = most
    while too_large - fitting > 1:
        middle = (fitting + too_large) // 2
        if middle in tried:
            break
        if fits(middle):
            fitting = middle
        else:
            too_large = middle
    return fitting
