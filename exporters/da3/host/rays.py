"""Cameras from rays: the pose and the pinhole that the ray maps describe, instead of the camera decoder's.

Source: upstream's `use_ray_pose` (`model/da3.py::_process_ray_pose_estimation`, `utils/ray_utils.py`). The directions of
a view's rays are a homography of its pixel grid, A = R L with a rotation R and an L that holds focal lengths and
principal point. As upstream does, L is taken lower triangular; that is a pinhole where the principal point is the centre,
which is how the network is trained (for any other, A = R K⁻¹ would have an upper triangular factor). The homography is
fitted robustly: RANSAC (Fischler & Bolles 1981) over the most confident rays, each sample by weighted direct linear
transformation, then a fit to the best sample's inliers.

Upstream's two random steps have deterministic counterparts: the samples come from a seeded generator (numpy's Philox,
whose raw stream numpy guarantees), and the last fit takes all of the most confident 95 % of more than 8,000 inliers,
where upstream draws 8,000 of them. All arithmetic is fp64.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.errors import RunError

Array = NDArray[np.float64]
SAMPLE = 8
"""Rays of one RANSAC sample."""
KEPT_INLIERS, KEPT_SHARE = 8000, 0.95
FEWEST = 4
"""Points that a homography needs."""
PARALLEL = 1e-4
"""Rays whose direction has a smaller third component do not count: they are parallel to the image plane."""
PIXELS_PER_RAY = 14 / 8
"""The ray head gives 8 rays a side of a patch of 14 pixels."""


def pose_from_rays(
    outputs: Mapping[str, np.ndarray], *, iterations: int, candidates: float, inlier_distance: float, seed: int
) -> dict[str, np.ndarray]:
    """`extrinsics` and `intrinsics` fitted to `ray` and `ray_conf`, view by view.

    Args:
        outputs: `ray` (B, N, h, w, 6), directions in camera-to-world axes, then origins; `ray_conf` (B, N, h, w).
            `extrinsics` and `intrinsics` give their dtypes where they are there; others are handed on.
        iterations: RANSAC samples.
        candidates: share of the rays, the most confident ones, from which they are drawn.
        inlier_distance: in units of the image plane at distance 1.
        seed: of the samples; the same ones for every view.

    Returns:
        The outputs with `extrinsics` (B, N, 3, 4), world to camera, OpenCV axes, and `intrinsics` (B, N, 3, 3) in pixels
        of the input.

    Raises:
        RunError: a view's rays fit no camera.
    """
    ray, confidence = outputs["ray"], outputs["ray_conf"]
    batch, views, rows, columns = confidence.shape
    grid = image_plane(rows, columns)
    count = max(SAMPLE, int(rows * columns * candidates))
    samples = draw_samples(count, iterations, seed)
    extrinsics = np.empty((batch, views, 3, 4))
    intrinsics = np.zeros((batch, views, 3, 3))
    size = np.array([columns, rows]) * PIXELS_PER_RAY
    for scene in range(batch):
        for view in range(views):
            rays = ray[scene, view].reshape(-1, 6).astype(np.float64)
            weight = confidence[scene, view].ravel().astype(np.float64)
            counts = (np.abs(rays[:, 2]) > PARALLEL) & np.isfinite(rays).all(axis=1) & np.isfinite(weight)
            rays[~counts], weight[~counts] = 0, 0
            homography = fit_homography(grid, rays[:, :3], weight, samples, inlier_distance)
            if homography is None:
                raise RunError(f"the rays of view {view} of scene {scene} fit no camera: use the camera decoder's pose")
            rotation, lower = rotation_and_lower(homography)
            origin = weight @ rays[:, 3:] / weight.sum()
            extrinsics[scene, view] = np.column_stack((rotation.T, -rotation.T @ origin))
            intrinsics[scene, view, [0, 1], [0, 1]] = size / 2 / np.diag(lower)[:2]
            intrinsics[scene, view, :2, 2] = size / 2 * (lower[2, :2] + 1)
            intrinsics[scene, view, 2, 2] = 1
    return {
        **outputs,
        "extrinsics": extrinsics.astype(outputs.get("extrinsics", ray).dtype),
        "intrinsics": intrinsics.astype(outputs.get("intrinsics", ray).dtype),
    }


def image_plane(rows: int, columns: int) -> Array:
    """(rows · columns, 2): x and y of the samples' centres in an image that spans [-1, 1] both ways."""
    y, x = ((np.arange(n) * 2 + 1) / n - 1 for n in (rows, columns))
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1).reshape(-1, 2)


def draw_samples(population: int, iterations: int, seed: int) -> NDArray[np.int64]:
    """(iterations, 8) indices below `population`, eight different ones a row; the same for the same arguments.

    Raises:
        RunError: a population of fewer than eight.
    """
    if population < SAMPLE:
        raise RunError(f"a pose from rays needs at least {SAMPLE} rays, not {population}: use a larger image")
    stream = np.random.Philox(key=seed)
    raw = stream.random_raw(iterations * SAMPLE).reshape(iterations, SAMPLE)
    drawn = np.empty((iterations, SAMPLE), np.int64)
    for row, numbers in enumerate(raw.tolist()):
        moved: dict[int, int] = {}  # Fisher and Yates's shuffle, of which only the first places are needed
        for place, number in enumerate(numbers):
            other = place + number % (population - place)
            drawn[row, place] = moved.get(other, other)
            moved[other] = moved.get(place, place)
    return drawn


def fit_homography(
    grid: Array, directions: Array, weight: Array, samples: NDArray[np.int64], inlier_distance: float
) -> Array | None:
    """The homography (3, 3) that takes points of the image plane to ray directions, determinant positive.

    Args:
        grid: (K, 2) points of the image plane.
        directions: (K, 3).
        weight: (K,), 0 for rays that do not count.
        samples: (iterations, 8) indices into the rays by falling weight.
        inlier_distance: between a direction and its prediction, both at distance 1.

    Returns:
        None where no sample has four inliers.
    """
    depth = np.where(np.abs(directions[:, 2:]) > PARALLEL, directions[:, 2:], 1.0)
    target = directions[:, :2] / depth
    chosen = np.argsort(-weight, kind="stable")[samples]
    guesses = _direct_linear(grid[chosen], target[chosen], weight[chosen])
    source = np.column_stack((grid, np.ones(len(grid))))
    best, inliers = -np.inf, np.zeros(len(grid), bool)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for guess in guesses:
            projected = source @ guess.T
            error = np.linalg.norm(projected[:, :2] / projected[:, 2:] - target, axis=1)
            near = error < inlier_distance
            score = float(weight[near].sum())
            if score > best:
                best, inliers = score, near
    kept = np.flatnonzero(inliers)
    if len(kept) < FEWEST or not best > 0:
        return None
    if len(kept) > KEPT_INLIERS:
        surest = np.argsort(-weight[kept], kind="stable")
        kept = kept[surest[: max(int(len(kept) * KEPT_SHARE), KEPT_INLIERS)]]
    fitted: Array = _direct_linear(grid[kept][None], target[kept][None], weight[kept][None])[0]
    if not np.isfinite(fitted).all():
        return None
    return -fitted if np.linalg.det(fitted) < 0 else fitted


def rotation_and_lower(matrix: Array) -> tuple[Array, Array]:
    """A (3, 3) of positive determinant as rotation times lower triangular, whose last diagonal element is made 1."""
    # QR of the columns in reverse, both factors turned around, gives QL; signs make the diagonal positive.
    q, r = np.linalg.qr(matrix[:, ::-1])
    q, lower = q[:, ::-1], r[::-1, ::-1]
    sign = np.sign(np.diag(lower))
    lower = lower * sign[:, None]
    return q * sign, lower / lower[2, 2]


def _direct_linear(source: Array, target: Array, weight: Array) -> Array:
    """Weighted direct linear transformation: (S, K, 2) to (S, K, 2) with weights (S, K), as (S, 3, 3) with h33 = 1."""
    root = np.sqrt(weight)[..., None]
    point = np.concatenate((source, np.ones_like(root)), axis=-1) * root
    zero = np.zeros_like(point)
    rows = [
        np.concatenate((*parts, point * target[..., axis : axis + 1]), axis=-1)
        for axis, parts in enumerate(((-point, zero), (zero, -point)))
    ]
    system = np.concatenate(rows, axis=-2)
    if system.shape[-2] < 9:  # the null vector is the ninth right singular vector, which must be computed
        system = np.concatenate((system, np.zeros((*system.shape[:-2], 9 - system.shape[-2], 9))), axis=-2)
    null = np.linalg.svd(system, full_matrices=False)[2][..., -1, :]
    matrix = null.reshape(*null.shape[:-1], 3, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        fitted: Array = matrix / matrix[..., 2:, 2:]
    return fitted
