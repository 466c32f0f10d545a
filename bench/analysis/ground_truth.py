"""Accuracy in the task's own terms, for every cell of a run: against photographs and renderings whose depth is known.

The first timed input has true depth where it is the Motorcycle pair (Middlebury 2014): its outputs are those of the
timed calls. Beside it every cell computes a few rendered scenes (bench/inputs/scenes.py: exact depth, intrinsics and
poses, as many views as the cell takes, seeded) once, outside every timed block. What synthetic weights give is measured
anyway, so that the pipeline is tested where there is no checkpoint, and marked meaningless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from depthport.bench.analysis.accuracy import scene_accuracy
from depthport.bench.analysis.evidence import Evidence
from depthport.bench.inputs.inputs import Scene, resized
from depthport.bench.inputs.scenes import render_scene
from depthport.bench.results.sections import Accuracy
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.files.npz import read_whole_npz
from depthport.runtimes.host.threads import allowed_threads

_AT_ONCE = 4
"""Cells that are judged at once at most: each takes gigabytes over hundreds of views."""


def ground_truth_scenes(shape: Shape, count: int, source_size: tuple[int, int] | None = None) -> tuple[Scene, ...]:
    """`count` rendered scenes of a cell's shape; always the same ones.

    Args:
        source_size: (H', W') of what goes into an artifact that resizes by itself.
    """
    if source_size is None:
        return tuple(render_scene(shape, seed) for seed in range(count))
    larger = replace(shape, height=source_size[0], width=source_size[1])
    return tuple(resized(render_scene(larger, seed), shape) for seed in range(count))


def judge_accuracy(
    cells: Iterable[str], scenes: Sequence[Scene], truth: Sequence[Scene], evidence: Evidence, work: Path, synthetic: bool
) -> dict[str, Accuracy]:
    """Return `Cell.accuracy` by the cells' ids.

    {scene, abs_rel, rmse, delta1, ..., meaningless} of the first timed scene, where it has ground truth, and under the
    name of each scene of `truth` the same of that.
    """

    def judge(cell: str) -> Accuracy:
        found: Accuracy = {}
        timed = _outputs(evidence.outputs(cell).get(0), work)
        if timed is not None and scenes[0].depth is not None:
            found = {**scene_accuracy(timed, scenes[0]), "scene": scenes[0].name}
        for entry in evidence.truth:
            outputs = _outputs(entry.outputs, work) if entry.cell == cell else None
            if outputs is not None and entry.scene < len(truth):
                scene = truth[entry.scene]
                found[scene.name] = {**scene_accuracy(outputs, scene)}
        return {**found, "meaningless": synthetic} if found else {}

    names = list(cells)
    with ThreadPoolExecutor(min(_AT_ONCE, allowed_threads())) as pool:  # numpy releases the interpreter's lock
        judged = zip(names, pool.map(judge, names), strict=True)
        return {name: accuracy for name, accuracy in judged if accuracy}


def _outputs(name: str | None, work: Path) -> Mapping[str, np.ndarray] | None:
    return read_whole_npz(work / name) if name is not None else None
