"""Choice of the parts that LiteRT's quantizer rounds to int8, by depth and poses of the files it writes.

Nothing is simulated: every part alone, and then what was chosen together, is quantized for real, run by LiteRT on held-out
photographs, and compared with the fp32 file. (The other formats' way, :mod:`depthport.exporters.quantization.plan`,
simulates static scales, which these kernels don't have.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.base import ExportContext
from depthport.exporters.core.errors import ExportError
from depthport.exporters.core.json_types import Json
from depthport.exporters.litert.recipes import Recipe, dynamic, weights_only
from depthport.exporters.quantization.images import held_out_scenes, split
from depthport.exporters.quantization.mix import Budget, Loss, choose, give_back
from depthport.exporters.quantization.plan import int8_options
from depthport.exporters.quantization.sensitivity import compare

SCENES = 4
JUDGED = ("depth", "extrinsics")

Try = Callable[[Sequence[Recipe], Sequence[str]], list[dict[str, np.ndarray]]]
"""`try_(recipes, outputs)`: for each recipe the outputs of every scene, as `scene/output`."""


@dataclass(frozen=True)
class Chosen:
    """Chosen parts, and their cost on the held-out scenes."""

    recipe: Recipe
    report: dict[str, object]
    """Report for the manifest."""


def held_out(context: ExportContext) -> dict[str, NDArray[np.float32]]:
    """The scenes that recipes are judged on, by name; their pictures are the calibration's and the held-out ones."""
    calibrated, others = split(int8_options(context.request).calibration)
    scenes = held_out_scenes(calibrated, others, context.request.shape, SCENES)
    return {f"scene{index}": scene for index, scene in enumerate(scenes)}


def choose_recipe(context: ExportContext, gflop: Mapping[str, float], try_: Try) -> Chosen:
    """The recipe of an int8 request.

    Args:
        context: of the export.
        gflop: arithmetic of every group of operations (:func:`~depthport.exporters.litert.recipes.group`).
        try_: quantizes the fp32 file and runs it.

    Raises:
        ExportError: the budget allows no group.
    """
    options = int8_options(context.request)
    outputs = [name for name in JUDGED if name in context.request.outputs]
    if options.mix != "measured":
        recipe = weights_only() if options.mix == "weights" else dynamic()
        expected, found = try_([[], recipe], outputs)
        groups = list(gflop)
        return Chosen(recipe, _report(options.mix, groups, gflop, *worst(found, expected), ()))
    budget = Budget(options.max_depth_error, options.max_rotation_deg)
    expected, *alone = try_([[], *(dynamic([group]) for group in gflop)], outputs)
    table = [
        Loss(group, gflop[group], *worst(found, expected)) for group, found in zip(gflop, alone, strict=True)
    ]  # fmt: skip
    kept = choose(table, budget)
    depth = rotation = float("inf")
    while kept:
        recipe = dynamic([loss.layer for loss in kept])
        (found,) = try_([recipe], outputs)
        depth, rotation = worst(found, expected)
        context.progress(f"{len(kept)} of {len(table)} parts in int8: depth {depth:.1e}, {rotation:.2f}°")
        if depth <= budget.depth and rotation <= budget.rotation_deg:
            return Chosen(recipe, _report("measured", [loss.layer for loss in kept], gflop, depth, rotation, table))
        returned = give_back(kept, budget, depth, rotation)
        kept = [loss for loss in kept if loss not in returned]
    raise ExportError(
        f"int8 can't keep depth within {budget.depth:g} and cameras within {budget.rotation_deg:g}° in any part of the "
        "network: raise max_depth_error or max_rotation_deg, or export fp16"
    )


def worst(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Depth (relative L2) and rotation (degrees) errors, the worst scene of each."""
    scenes = dict.fromkeys(name.partition("/")[0] for name in expected)
    losses = [
        compare(
            *({name: side[f"{scene}/{name}"] for name in JUDGED if f"{scene}/{name}" in side} for side in (found, expected))
        )
        for scene in scenes
    ]
    depth, rotation = np.max(losses, axis=0)
    return float(depth), float(rotation)


def _report(
    mix: str, groups: Sequence[str], gflop: Mapping[str, float], depth: float, rotation: float, table: Sequence[Loss]
) -> dict[str, object]:
    return {
        "mix": mix,
        "arithmetic": "float32" if mix == "weights" else "int8, activations rounded at every call",
        "parts": list(groups),
        "share_of_gflop": round(sum(gflop[group] for group in groups) / sum(gflop.values()), 4),
        "held_out": {"scenes": SCENES, "depth": depth, "rotation_deg": rotation},
        "sensitivity": [{**asdict(loss), "quantized": loss.layer in groups} for loss in table],
    }


def read_trials(folder: Path, trials: Sequence[Mapping[str, Json]]) -> list[dict[str, np.ndarray]]:
    """Return the results of each trial that the converter's process left; the files are removed."""
    found = []
    for trial in trials:
        path = folder / str(trial["file"])
        with np.load(path) as arrays:
            found.append(dict(arrays))
        path.unlink()
    return found
