"""Distance of a cell's outputs from upstream's fp32 outputs, per output and in the task's own terms. Pure numpy.

Arrays are (B, N, ...) float32 by name as a session gives them; the reference is upstream fp32 on the same inputs and
weights. Errors are computed in fp64. Sources: AbsRel and δ1 as in Eigen et al. 2014 (arXiv:1406.2283), here against
upstream's depth without any alignment (parity is about the same numbers, not the same shape); rotation angle
arccos((tr RᵀR' − 1)/2); translation as the angle between camera centres seen from the first view's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from depthport.bench.results.sections import Parity
from depthport.bench.results.ties import same_choice

Array = np.ndarray
Figures: TypeAlias = dict[str, float]
"""Of one output, by name; whether something is equal or a tie is among them, as a bool."""

DELTA1 = 1.25
_PART = 1 << 17


@dataclass(frozen=True)
class ParityLimit:
    """Loss that a precision may have before its cell is `parity_failed`.

    A gate against nonsense, not a quality goal: how much each cell really loses is in its row, and `choose
    --max-abs-rel` asks for less.
    """

    rel_l2: float
    """Relative L2 of depth, confidence, extrinsics and intrinsics."""
    rotation_deg: float
    same_reference_view: bool = True


LIMITS: dict[str, ParityLimit] = {
    "fp32": ParityLimit(1e-4, 0.05),
    "tf32": ParityLimit(2e-2, 0.5),
    "fp16": ParityLimit(2e-2, 0.5),
    "fp16-mixed": ParityLimit(2e-2, 0.5),
    "bf16": ParityLimit(8e-2, 2.0),
    "bf16-fp16": ParityLimit(8e-2, 2.0),
    "bf16-mixed": ParityLimit(8e-2, 2.0),
    "bf16-poses": ParityLimit(4e-2, 1.0),
    "int8-bf16": ParityLimit(4e-2, 1.0),
    "int8": ParityLimit(8e-2, 2.0),
    "fp8": ParityLimit(2e-1, 5.0),
}
_STRICTEST = LIMITS["fp32"]


def parts(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Flattened arrays of one size, piece by piece in fp64, so that what is computed of them stays in a CPU's cache."""
    flat = [array.reshape(-1) for array in arrays]
    for begin in range(0, flat[0].size, _PART):
        yield tuple(array[begin : begin + _PART].astype(np.float64, copy=False) for array in flat)


def relative_l2(value: Array, reference: Array) -> float:
    """‖value − reference‖ / ‖reference‖ in fp64; the absolute norm where the reference is all zero."""
    difference = norm = 0.0
    for v, r in parts(value, reference):
        norm += float(r @ r)
        error = v - r
        difference += float(error @ error)
    return math.sqrt(difference / norm if norm > 0 else difference)


def depth_parity(value: Array, reference: Array) -> dict[str, float]:
    """Depth (…, H, W): relative L2, largest absolute error, AbsRel and δ1 against the reference's depth."""
    largest, relative, close, known = 0.0, 0.0, 0, 0
    for v, r in parts(value, reference):
        error = np.abs(v - r)
        largest = float(np.maximum(largest, error.max()))
        positive = r > 0
        if not positive.all():
            v, r, error = v[positive], r[positive], error[positive]
        known += r.size
        relative += float((error / r).sum())
        close += int((np.maximum(r / np.maximum(v, 1e-12), v / r) < DELTA1).sum())
    told = {"abs_rel": relative / known, "delta1": close / known} if known else {"abs_rel": 0.0, "delta1": 1.0}
    return {"rel_l2": relative_l2(value, reference), "max_abs": largest, **told}


def extrinsics_parity(value: Array, reference: Array) -> dict[str, float]:
    """Extrinsics (…, 3, 4), world-to-camera: relative L2, worst rotation angle, worst angle between translations.

    The translation's angle is that of the vectors t; where the reference's is shorter than 1e-6 of the longest, the
    direction is noise and the view is left out.
    """
    v = value.reshape(-1, 3, 4).astype(np.float64)
    r = reference.reshape(-1, 3, 4).astype(np.float64)
    length = np.linalg.norm(r[:, :, 3], axis=1)
    told = length > 1e-6 * max(float(length.max()), 1e-12)
    angles = angle_between_deg(v[told, :, 3], r[told, :, 3])
    return {
        "rel_l2": relative_l2(value, reference),
        "rotation_deg": float(rotation_angle_deg(v[:, :, :3], r[:, :, :3]).max()),
        "translation_deg": float(angles.max()) if angles.size else 0.0,
    }


def intrinsics_parity(value: Array, reference: Array, size: tuple[int, int]) -> dict[str, float]:
    """Parity of intrinsics (…, 3, 3) of images of `size` (H, W).

    Relative L2, and the worst difference of the horizontal or vertical field of view in degrees.
    """
    worst = np.abs(field_of_view_deg(value, size) - field_of_view_deg(reference, size)).max()
    return {"rel_l2": relative_l2(value, reference), "fov_deg": float(worst)}


def rotation_angle_deg(a: Array, b: Array) -> Array:
    """Angle of aᵀb for rotations (…, 3, 3), degrees.

    Computed by the norm of the difference, which keeps its digits near 0 (arccos of the trace loses half of them).
    """
    chord = np.linalg.norm((a - b).reshape(*a.shape[:-2], 9), axis=-1) / (2 * np.sqrt(2))
    found: Array = np.degrees(2 * np.arcsin(np.clip(chord, 0, 1)))
    return found


def angle_between_deg(a: Array, b: Array) -> Array:
    """Angle between vectors (…, 3), degrees, stable near 0 and 180 (Kahan's formula)."""
    na, nb = np.linalg.norm(a, axis=-1, keepdims=True), np.linalg.norm(b, axis=-1, keepdims=True)
    found: Array = np.degrees(
        2 * np.arctan2(np.linalg.norm(nb * a - na * b, axis=-1), np.linalg.norm(nb * a + na * b, axis=-1))
    )
    return found


def field_of_view_deg(intrinsics: Array, size: tuple[int, int]) -> Array:
    """Horizontal and vertical field of view (…, 2), degrees, of pinhole matrices (…, 3, 3) with any principal point.

    Args:
        size: (H, W) of the image in pixels.
    """
    k = intrinsics.astype(np.float64)
    focal, centre = k[..., [0, 1], [0, 1]], k[..., [0, 1], [2, 2]]
    found: Array = np.degrees(np.arctan2(centre, focal) + np.arctan2(np.array(size[::-1]) - centre, focal))
    return found


def parity(outputs: Mapping[str, Array], reference: Mapping[str, Array], size: tuple[int, int]) -> dict[str, Figures]:
    """Every output that both have, by name, in the form of `results.json`'s `parity`; `size` (H, W) of the images.

    Where rounding decides which view is the reference view, the comparison is with upstream's outputs for the view that
    `outputs` chose, and `reference_view` says so: {equal: true, tie: true}.
    """
    report: dict[str, Figures] = {}
    reference, tie = same_choice(outputs, reference)
    for name, value in outputs.items():
        if name not in reference:
            continue
        expected = reference[name]
        if name == "depth":
            report[name] = depth_parity(value, expected)
        elif name == "extrinsics":
            report[name] = extrinsics_parity(value, expected)
        elif name == "intrinsics":
            report[name] = intrinsics_parity(value, expected, size)
        elif name == "reference_view":
            report[name] = {"equal": bool(np.array_equal(value, expected)), **({"tie": True} if tie else {})}
        else:
            report[name] = {"rel_l2": relative_l2(value, expected)}
    return report


def worst(reports: Iterable[Mapping[str, Figures]]) -> dict[str, Figures]:
    """The worst figure of several parity reports, output by output."""
    total: dict[str, Figures] = {}
    for report in reports:
        for output, figures in report.items():
            kept = total.setdefault(output, dict(figures))
            for name, figure in figures.items():
                worse = min if name in ("delta1", "equal") else max
                kept[name] = worse(kept.get(name, figure), figure)
    return total


def violation(report: Parity, precision: str, *, fitted_poses: bool = False) -> str | None:
    """Return why `report` breaks the limit of `precision`, in one line, or None. An unknown precision gets fp32's limit.

    Poses that RANSAC fitted to the rays (`fitted_poses`) are not judged: it chooses between samples, so rounding may
    change them at a stroke. The rays they are fitted to are.
    """
    limit = LIMITS.get(precision, _STRICTEST)
    if fitted_poses:
        report = {name: figures for name, figures in report.items() if name not in ("extrinsics", "intrinsics")}
    if limit.same_reference_view and not _figure(report, "reference_view", "equal", 1.0):
        return "it chose a different reference view from upstream, so its poses are in another frame"
    for output in ("depth", "depth_conf", "extrinsics", "intrinsics", "ray", "ray_conf", "sky", "metric_depth"):
        figure = _figure(report, output, "rel_l2")
        if not figure <= limit.rel_l2:
            return f"{output} is {figure:.1e} from upstream fp32 (relative L2; {precision} may lose {limit.rel_l2:.0e})"
    rotation = _figure(report, "extrinsics", "rotation_deg")
    if not rotation <= limit.rotation_deg:
        return f"a view is rotated by {rotation:.2g}° against upstream fp32 ({precision} may lose {limit.rotation_deg}°)"
    return None


def _figure(report: Parity, output: str, name: str, unsaid: float = 0.0) -> float:
    figures = report.get(output)
    figure = figures.get(name) if isinstance(figures, Mapping) else None
    return unsaid if figure is None else figure
