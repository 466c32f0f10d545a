"""The controls of a run: which cell is measured twice."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence

from depthport.bench.plan.cells import CellSpec

AA, PLUS5 = "control-aa", "control-plus5"
"""Tags of the subject's second process, and of its delayed calls."""
DELAY = 0.05
"""Delay of the control that must be found, as a share of a call."""


def control_subject(cells: Sequence[CellSpec], seconds: Mapping[str, float]) -> CellSpec:
    """Return the cell that both controls repeat: the one whose time costs least, neither the baseline nor untimed.

    Args:
        seconds: what repeating a cell costs, by id. Where none is known, it is the first that is not compiled (those start
            slowly, and may fail); the first of all if nothing else is left.
    """
    others = [cell for cell in cells if not (cell.baseline or cell.numerics_only)]
    known = [cell for cell in others if cell.id in seconds] or [cell for cell in others if cell.mode != "compile"]
    return min(known, key=lambda cell: seconds.get(cell.id, math.inf), default=cells[0])


def controls_of(subject: CellSpec) -> tuple[CellSpec, CellSpec]:
    """Return the A/A and the +5 % control of a cell."""
    return subject.with_tag(AA, AA), subject.with_tag(PLUS5, PLUS5)


def repeated(cells: Sequence[CellSpec], known: Container[str], tag: str = AA) -> CellSpec | None:
    """Return the one of `cells` that a control among the ids `known` repeats."""
    return next((cell for cell in cells if cell.with_tag(tag, tag).id in known), None)
