"""Accuracy against ground truth, where the inputs have one: per scene, marked meaningless under synthetic
weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.metrics import number
from bench.report import figures
from bench.results import Cell

COLUMNS = (("abs_rel", "AbsRel ↓"), ("rmse", "RMSE ↓"), ("delta1", "δ1 ↑"))
MEANINGLESS = "meaningless: synthetic weights"


def accuracy_lines(cell: Cell) -> list[list[str]]:
    """Per scene: its name, AbsRel, RMSE, δ1 and a remark; empty where nothing was compared with a truth."""
    accuracy = cell.accuracy or {}
    everywhere = bool(accuracy.get("meaningless"))
    lines = []
    for name, scene in _scenes(accuracy):
        values = [number(scene.get(key)) for key, _ in COLUMNS]
        if any(value is not None for value in values):
            remark = MEANINGLESS if everywhere or scene.get("meaningless") else str(scene.get("alignment") or "")
            texts = [figures.NONE if value is None else f"{value:.3f}" for value in values]
            lines.append([name, *texts, remark])
    return lines


def _scenes(accuracy: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The scenes of an accuracy block: the block itself where it holds figures, and each block inside it."""
    if any(key in accuracy for key, _ in COLUMNS):
        yield str(accuracy.get("scene") or "inputs"), accuracy
    for name, value in accuracy.items():
        if isinstance(value, Mapping):
            yield name, value
