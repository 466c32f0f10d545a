"""Accuracy against ground truth, where the inputs have one: per scene, marked meaningless under synthetic weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from depthport.bench.results.metrics import number
from depthport.bench.results.model import Cell
from depthport.bench.statistics import figures

MEANINGLESS = "random weights: accuracy figures have no meaning"
ALIGNMENT = (
    "Predicted depth is aligned to the truth before it is compared, by one factor for all views of a scene (the ratio of "
    "the medians); “+ shift”: by the scale and shift of least squares. Rotation: the worst angle between two views; field "
    "of view: the worst error."
)
DEPTH = ("abs_rel", "rmse", "delta1")
HEADS = (
    "Scene",
    *("AbsRel ↓", "RMSE, m ↓", "δ1 ↑"),
    *("AbsRel + shift ↓", "RMSE + shift, m ↓", "δ1 + shift ↑"),
    *("Rotation ↓", "Field of view ↓"),
)
"""Columns of :func:`accuracy_lines`."""


def accuracy_lines(cell: Cell) -> list[list[str]]:
    """Return the columns of :data:`HEADS` per scene; empty without ground truth."""
    return [[name, *_depth(scene), *_camera(scene)] for name, scene in truths(cell)]


def meaningless(cell: Cell) -> bool:
    """Return whether the cell's figures against ground truth are meaningless."""
    return bool((cell.accuracy or {}).get("meaningless"))


def truths(cell: Cell) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The scenes that a cell was judged on and their figures."""
    accuracy = cell.accuracy or {}
    if any(number(accuracy.get(key)) is not None for key in DEPTH):
        yield str(accuracy.get("scene") or "inputs"), accuracy
    for name, value in accuracy.items():
        if isinstance(value, Mapping) and any(number(value.get(key)) is not None for key in DEPTH):
            yield str(name), value


def _depth(scene: Mapping[str, object]) -> Iterator[str]:
    for suffix in ("", "_scale_shift"):
        for key in DEPTH:
            value = number(scene.get(key + suffix))
            yield figures.NONE if value is None else f"{value:.3f}"


def _camera(scene: Mapping[str, object]) -> Iterator[str]:
    for key in ("rotation_deg", "fov_deg"):
        value = number(scene.get(key))
        yield figures.NONE if value is None else f"{figures.reading(value)}°"
