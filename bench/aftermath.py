"""What is made of a run's outputs once it has been measured: pictures, accuracy against the truth, advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.analysis import Evidence, load_arrays
from bench.inputs import Scene
from bench.journal import Journal
from bench.results import Cell


def draw(cells: Sequence[Cell], journal: Journal, references: Mapping[str, Path], work: Path, out: Path) -> None:
    """Save each cell's depth and its error to the reference for the first input as PNGs below `out/pictures`."""
    evidence = Evidence(journal)
    if "fp32-0" not in references:
        return
    reference = load_arrays(references["fp32-0"])
    from bench.pictures import save_depth, save_error

    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    for cell in cells:
        name = evidence.outputs(cell.id).get(0)
        if name is None or not (work / name).exists():
            continue
        outputs = load_arrays(work / name)
        stem = cell.id.replace("/", "-").replace(":", "-")
        save_depth(outputs["depth"], folder / f"{stem}-depth.png", like=reference["depth"])
        save_error(outputs["depth"], reference["depth"], folder / f"{stem}-error.png")
        cell.pictures = {"depth": f"pictures/{stem}-depth.png", "error": f"pictures/{stem}-error.png"}


def judge_accuracy(
    cells: Sequence[Cell], scenes: Sequence[Scene], journal: Journal, work: Path, synthetic: bool
) -> None:
    """Depth against ground truth where the first scene has one; `meaningless` where the weights are synthetic."""
    evidence = Evidence(journal)
    truth = scenes[0].depth if scenes else None
    if truth is None:
        return
    from bench.accuracy import depth_accuracy

    for cell in cells:
        name = evidence.outputs(cell.id).get(0)
        if name is not None and (work / name).exists():
            figures = depth_accuracy(load_arrays(work / name)["depth"], truth)
            cell.accuracy = {**figures, "scene": scenes[0].name, "meaningless": synthetic}
