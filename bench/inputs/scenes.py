"""Procedurally rendered scenes with exact depth, intrinsics and poses: truth for any number of views, seeded.

A ray caster in numpy: a textured room with boxes and spheres on its floor, seen by cameras on an arc around
its middle. Rays go through pixel centres and are scaled to unit depth, so the ray parameter of the nearest
hit *is* the depth along the optical axis: exact, with no rasterisation between it and the pixel. Five views
of 504×504 take about a second.

Conventions: OpenCV axes (x right, y down, z forward), world-to-camera extrinsics, metres, pixel (0, 0) has
its centre at (0.5, 0.5).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from depthport.bench.inputs.inputs import Scene
from depthport.exporters.core.artifact import Shape
from depthport.runtimes.host.threads import allowed_threads

Array = np.ndarray

FOV_DEG = 60.0
"""Field of view along the longer side."""
ROOM = np.array([[-4.0, -2.5, -5.0], [4.0, 1.2, 4.5]])
"""Lower and upper corner of the room, metres; y points down, so the floor is at +1.2."""
CAMERA_DISTANCE_M = 4.0
ARC_DEG = 50.0
"""The cameras of a scene stand within this angle around its middle."""
_LIGHT = np.array([0.4, -0.8, -0.45])


class Solid(Protocol):
    """An object in the room."""

    @property
    def ball(self) -> tuple[Array, float]:
        """Centre and radius of the smallest ball around it."""

    def meet(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """Parameters (K,) at which rays (K, 3) enter it, infinite where they miss, and the normals there (K, 3)."""


@dataclass(frozen=True)
class Box:
    """A box along the axes."""

    lower: Array
    upper: Array

    @property
    def ball(self) -> tuple[Array, float]:
        return (self.lower + self.upper) / 2, float(np.linalg.norm(self.upper - self.lower)) / 2

    def meet(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """The slab method: inside all three pairs of planes at once."""
        with np.errstate(divide="ignore", invalid="ignore"):  # a ray along a face meets its plane at infinity
            at_lower, at_upper = (self.lower - origin) / rays, (self.upper - origin) / rays
        enters, leaves = np.fmin(at_lower, at_upper), np.fmax(at_lower, at_upper)
        axis = enters.argmax(-1)
        t = np.take_along_axis(enters, axis[:, None], 1)[:, 0]
        return np.where((t > 0) & (t <= leaves.min(-1)), t, np.inf), _axis_normals(axis, rays)


@dataclass(frozen=True)
class Sphere:
    """A sphere."""

    centre: Array
    radius: float

    @property
    def ball(self) -> tuple[Array, float]:
        return self.centre, self.radius

    def meet(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """The lower root of |origin + t · ray - centre|² = radius²."""
        away = origin - self.centre
        a, b, c = np.einsum("ij,ij->i", rays, rays), rays @ away, away @ away - self.radius**2
        under = b * b - a * c
        t = (-b - np.sqrt(np.maximum(under, 0))) / a
        normals = (away + t[:, None] * rays) / self.radius
        return np.where((under >= 0) & (t > 0), t, np.inf), normals


@dataclass(frozen=True)
class _Texture:
    """Colour as a function of the point in the world: checks of two colours, and waves over them."""

    colours: Array
    checks_per_metre: float
    waves: Array
    """(K, 4): direction times frequency, and phase."""


def render_scene(shape: Shape, seed: int = 0) -> Scene:
    """B rendered scenes of N views, different ones for each seed and each of the batch.

    Every pixel has depth (the room is closed), every camera is exact.
    """
    rendered = [_render(shape, np.random.default_rng([seed, batch])) for batch in range(shape.batch)]
    rgb, extrinsics, depth = (np.stack(column) for column in zip(*rendered, strict=True))
    intrinsics = np.broadcast_to(pinhole(shape.height, shape.width), (shape.batch, shape.views, 3, 3)).copy()
    return Scene(f"rendered {seed}", rgb, intrinsics, extrinsics, depth, (True,) * shape.batch)


def pinhole(height: int, width: int) -> Array:
    """Intrinsics (3, 3) of the rendering camera: square pixels, principal point in the middle."""
    focal = max(height, width) / 2 / math.tan(math.radians(FOV_DEG) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])


def look_at(eye: Array, target: Array) -> Array:
    """World-to-camera (4, 4) of an upright camera at `eye` that looks at `target`."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    extrinsics[:3, 3] = -extrinsics[:3, :3] @ eye
    return extrinsics


def cast(origin: Array, rays: Array, solids: list[Solid]) -> tuple[Array, Array, Array]:
    """The nearest hit of rays (K, 3) from `origin` with the room and the solids.

    Returns:
        The ray parameter (K,), the index of what was hit (K,; 0 is the room, then the solids) and the surface
        normal (K, 3) that faces the origin.
    """
    nearest, normals = _leave_room(origin, rays)
    hit = np.zeros(len(rays), int)
    length2 = np.einsum("ij,ij->i", rays, rays)
    for index, solid in enumerate(solids, 1):
        near = _close_rays(origin, rays, length2, *solid.ball)
        t, normal = solid.meet(origin, rays[near])
        closer = t < nearest[near]
        hits = near[closer]
        nearest[hits], hit[hits], normals[hits] = t[closer], index, normal[closer]
    return nearest, hit, normals


def _render(shape: Shape, generator: np.random.Generator) -> tuple[Array, Array, Array]:
    solids = _furnish(generator)
    textures = [_texture(generator) for _ in range(len(solids) + 1)]
    poses = _cameras(shape.views, generator)
    columns, rows = np.meshgrid(np.arange(shape.width) + 0.5, np.arange(shape.height) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1).reshape(-1, 3)
    rays = pixels @ np.linalg.inv(pinhole(shape.height, shape.width)).T

    def view(pose: Array) -> tuple[Array, Array]:
        # Row vectors: rays @ R is Rᵀ (camera to world) applied to each; z = 1 in the camera stays the unit of depth.
        origin, directions = -pose[:3, :3].T @ pose[:3, 3], rays @ pose[:3, :3]
        distance, hit, normals = cast(origin, directions, solids)
        colour = _shade(origin + distance[:, None] * directions, hit, normals, textures)
        return colour.reshape(shape.height, shape.width, 3), distance.reshape(shape.height, shape.width).astype(np.float32)

    with ThreadPoolExecutor(allowed_threads()) as pool:  # numpy releases the interpreter's lock
        rgb, depth = zip(*pool.map(view, poses), strict=True)
    return np.stack(rgb), poses, np.stack(depth)


def _furnish(generator: np.random.Generator) -> list[Solid]:
    """Four boxes and three spheres that stand on the floor, spread around the middle."""
    solids: list[Solid] = []
    angles = generator.permutation(7) * (2 * math.pi / 7) + generator.uniform(0, 1)
    for index, angle in enumerate(angles):
        out = generator.uniform(0.5, 2.2)
        x, z = out * math.cos(angle), out * math.sin(angle) + 0.6
        if index < 4:
            half, height = generator.uniform(0.2, 0.5, 2), generator.uniform(0.5, 1.8)
            lower = np.array([x - half[0], ROOM[1, 1] - height, z - half[1]])
            solids.append(Box(lower, np.array([x + half[0], ROOM[1, 1], z + half[1]])))
        else:
            radius = generator.uniform(0.25, 0.55)
            solids.append(Sphere(np.array([x, ROOM[1, 1] - radius, z]), radius))
    return solids


def _cameras(views: int, generator: np.random.Generator) -> Array:
    """World-to-camera poses (N, 4, 4): the first from the middle of the arc, the others spread over it."""
    spread = np.concatenate([[0.0], np.linspace(-0.5, 0.5, max(views - 1, 1))])[:views]
    angles = np.radians(ARC_DEG) * spread + generator.uniform(-0.03, 0.03, views)
    distance = CAMERA_DISTANCE_M + generator.uniform(-0.3, 0.3, views)
    heights = generator.uniform(-0.6, 0.2, views)
    eyes = np.stack([distance * np.sin(angles), heights, 0.5 - distance * np.cos(angles)], -1)
    targets = np.array([0.0, 0.3, 0.6]) + generator.uniform(-0.15, 0.15, (views, 3))
    return np.stack([look_at(eye, target) for eye, target in zip(eyes, targets, strict=True)])


def _texture(generator: np.random.Generator) -> _Texture:
    waves = np.concatenate([generator.normal(0, 5.0, (2, 3)), generator.uniform(0, 2 * math.pi, (2, 1))], 1)
    return _Texture(generator.uniform(40, 235, (2, 3)), generator.uniform(1.5, 4.0), waves)


def _shade(points: Array, hit: Array, normals: Array, textures: list[_Texture]) -> NDArray[np.uint8]:
    colour = np.empty_like(points)
    for index, texture in enumerate(textures):
        mine = hit == index
        p = points[mine]
        # A little inside, so that a face that lies on a check's border does not flicker between two colours.
        checks = np.floor((p - 1e-3 * normals[mine]) * texture.checks_per_metre).sum(-1).astype(int) % 2
        wave = np.sin(p @ texture.waves[:, :3].T + texture.waves[:, 3]).mean(-1)
        colour[mine] = texture.colours[checks] * (0.85 + 0.3 * wave)[:, None]
    light = 0.6 + 0.4 * np.clip(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    found: NDArray[np.uint8] = np.clip(colour * light[:, None], 0, 255).astype(np.uint8)
    return found


def _close_rays(origin: Array, rays: Array, length2: Array, centre: Array, radius: float) -> Array:
    """Indices of the rays that pass a ball in front of the origin: the only ones a solid in it can meet."""
    to_centre = centre - origin
    along = rays @ to_centre
    return np.flatnonzero((along > 0) & (along * along >= length2 * (to_centre @ to_centre - radius**2)))


def _leave_room(origin: Array, rays: Array) -> tuple[Array, Array]:
    with np.errstate(divide="ignore"):  # a ray along a wall leaves through it at infinity
        leaves = np.where(rays < 0, origin - ROOM[0], ROOM[1] - origin) / np.abs(rays)
    axis = leaves.argmin(-1)
    return np.take_along_axis(leaves, axis[:, None], 1)[:, 0], _axis_normals(axis, rays)


def _axis_normals(axis: Array, rays: Array) -> Array:
    """Unit normals along `axis` that face where the rays come from."""
    normals = np.zeros_like(rays)
    rows = np.arange(len(rays))
    normals[rows, axis] = -np.sign(rays[rows, axis])
    return normals
