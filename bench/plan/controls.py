"""The controls of a run: which cell is measured twice."""

from __future__ import annotations

from collections.abc import Sequence

from depthport.bench.plan.cells import CellSpec

AA, PLUS5 = "control-aa", "control-plus5"
"""Tags of the subject's second process, and of its delayed calls."""


def control_subject(cells: Sequence[CellSpec]) -> CellSpec:
    """Return the cell that both controls repeat.

    It is the first that is neither the baseline nor compiled (those start slowly, and may fail), else the first.
    """
    others = [c for c in cells if not (c.baseline or c.numerics_only) and c.mode != "compile"]
    return others[0] if others else cells[0]
