"""Accuracy against ground truth, where the inputs have one: per scene, marked meaningless under synthetic
weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.metrics import number
from bench.report import figures
from bench.results import Cell

COLUMNS = (("abs_rel", "AbsRel ↓"), ("rmse", "RMSE, m ↓"), ("delta1", "δ1 ↑"))
ALIGNMENTS = (("", "ratio of medians"), ("_scale_shift", "scale and shift"))
POSE = ("rotation_deg", "translation_deg", "centre_error", "fov_deg")
MEANINGLESS = "means nothing, the weights are synthetic"


def accuracy_lines(cell: Cell) -> list[list[str]]:
    """Per scene and alignment: scene, AbsRel, RMSE, δ1, alignment or why it means nothing. Empty without a truth."""
    accuracy = cell.accuracy or {}
    everywhere = bool(accuracy.get("meaningless"))
    lines = []
    for name, scene in _scenes(accuracy):
        for suffix, alignment in ALIGNMENTS:
            values = [number(scene.get(key + suffix)) for key, _ in COLUMNS]
            if any(value is not None for value in values):
                remark = f"{alignment}; {MEANINGLESS}" if everywhere or scene.get("meaningless") else alignment
                lines.append([name, *(figures.NONE if v is None else f"{v:.3f}" for v in values), remark])
    return lines


def pose_line(cell: Cell) -> str:
    """Pose and field of view against ground truth, the worst over views; empty without a calibrated camera."""
    accuracy = cell.accuracy or {}
    found = [(name, value) for name in POSE if (value := number(accuracy.get(name))) is not None]
    text = ", ".join(f"{name} {figures.reading(value)}" for name, value in found)
    return f"{text} ({MEANINGLESS})" if text and accuracy.get("meaningless") else text


def _scenes(accuracy: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The scenes of an accuracy block: the block itself where it holds figures, and each block inside it."""
    if any(key in accuracy for key, _ in COLUMNS):
        yield str(accuracy.get("scene") or "inputs"), accuracy
    for name, value in accuracy.items():
        if isinstance(value, Mapping):
            yield name, value
