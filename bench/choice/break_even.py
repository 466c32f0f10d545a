"""Break-even of a costly start: after how many images is the total time of a faster cell below that of a slower one?

Total time of n calls is `setup + n · latency`. Two set-ups matter: *build*, which counts the export (a machine that
makes its own artifact, once), and *start*, which does not (every process start after that). Below the break-even the
cell that starts sooner wins. The interval is that of the latencies; set-up times are single readings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from depthport.bench.results.metrics import cold_start_s
from depthport.bench.results.model import Boundary, Cell


@dataclass(frozen=True)
class BreakEven:
    """`cell` overtakes `reference` after `images` images; 0 means at once, None never (it is not faster)."""

    cell: str
    reference: str
    boundary: Boundary
    with_export: bool
    images: int | None
    images_ci95: tuple[int, int | None] | None
    """Interval by the latencies' intervals; the upper bound is None where the cell may not be faster at all."""
    extra_setup_s: float
    saved_ms_per_image: float


def setup_s(cell: Cell, with_export: bool) -> float | None:
    """Seconds before the first output: load and first call, plus the export if asked for (0 where there is none)."""
    start = cold_start_s(cell)
    if start is None:
        return None
    # Upstream runs from its own checkpoint: whoever stays with it exports nothing.
    exported = with_export and not (cell.baseline or cell.mode == "upstream")
    return start + ((cell.phases.export_s or 0.0) if exported else 0.0)


def break_even(cell: Cell, reference: Cell, boundary: Boundary, *, with_export: bool) -> BreakEven | None:
    """Return after how many images `cell` is quicker in all than `reference`; None where a figure is missing.

    Both must compute the same workload; images, not calls, so that batches compare.
    """
    ours, theirs = cell.timing.get(boundary), reference.timing.get(boundary)
    own_setup, other_setup = setup_s(cell, with_export), setup_s(reference, with_export)
    if ours is None or theirs is None or ours.median_ms is None or theirs.median_ms is None:
        return None
    if own_setup is None or other_setup is None:
        return None
    images, other_images = cell.batch * cell.views, reference.batch * reference.views
    extra = own_setup - other_setup
    saved = theirs.median_ms / other_images - ours.median_ms / images
    ci = None
    if ours.ci95_ms is not None and theirs.ci95_ms is not None:
        most = theirs.ci95_ms[1] / other_images - ours.ci95_ms[0] / images
        least = theirs.ci95_ms[0] / other_images - ours.ci95_ms[1] / images
        soonest = _images(extra, most)
        ci = None if soonest is None else (soonest, _images(extra, least))
    return BreakEven(cell.id, reference.id, boundary, with_export, _images(extra, saved), ci, extra, saved)


def _images(extra_setup_s: float, saved_ms: float) -> int | None:
    if saved_ms <= 0:
        return None
    return max(0, math.ceil(extra_setup_s * 1e3 / saved_ms))
