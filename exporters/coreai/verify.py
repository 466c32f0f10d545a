"""The parity gate: a saved asset counts as exported only if, run by Core AI's own runtime, it gives upstream's outputs.

The reference is upstream's forward in fp32 on the probe's images. An fp32 asset keeps :data:`LIMIT`. Beyond it, rounding
may be why (a large scene, massive activations), so the error is measured once more against upstream in fp64: an asset may
be :data:`FACTOR` times as far from that as upstream's own fp32 is. In fp16 it may be :data:`HALF_FACTOR` times as far from
upstream as the same network in fp16 in PyTorch, which keeps sums of products in fp32 where the wheel's runtime rounds them
(eleven times as far, measured). Both are TorchDynamo's criterion (`same()` in `benchmarks/dynamo/common.py`). Errors are
relative L2; a reference view must be the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import ExportError
from depthport.exporters.coreai.executable import Arrays, run_asset
from depthport.exporters.da3.signature import input_specs, preprocessing
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
from depthport.exporters.inputs.probe import probe_image, probe_pixels, probe_poses

if TYPE_CHECKING:
    from torch import Tensor, nn

    from depthport.exporters.da3.request import ExportRequest

LIMIT = 1e-5
"""Relative L2 of depth, confidence, extrinsics, intrinsics and every other output of an fp32 asset."""
FACTOR = 3.0
HALF_FACTOR = 20.0
COMPRESSED = {"int8": 0.1, "palette8": 0.1, "palette6": 0.2, "palette4": 0.6}
"""Relative L2 that compressed weights may cost depth or poses before the asset is refused as wrong, not coarse."""


@dataclass(frozen=True)
class OutputError:
    """One output against its reference."""

    relative: float
    """L2 error over the reference's L2 norm; of integers the share that differs."""
    limit: float
    """Limit."""

    @property
    def right(self) -> bool:
        return self.relative <= self.limit


def probe_inputs(request: ExportRequest) -> Arrays:
    """Inputs of an artifact by the names of its file: the probe's images, and poses where it takes them."""
    shape = request.shape
    height, width = request.source_size or (shape.height, shape.width)
    found: dict[str, np.ndarray] = {
        "image": probe_pixels(shape.batch, shape.views, height, width)
        if request.preprocess
        else probe_image(shape.batch, shape.views, height, width, IMAGENET_MEAN, IMAGENET_STD)
    }
    if request.pose_input:
        poses = probe_poses(shape.batch, shape.views, shape.height, shape.width)
        found["extrinsics"], found["intrinsics"] = poses
    return {spec.native_name: found[spec.name] for spec in input_specs(request)}


def verify(
    asset: Path,
    work: Path,
    request: ExportRequest,
    network: nn.Module,
    build_upstream: Callable[[], nn.Module],
    compress: str = "none",
) -> dict[str, object]:
    """Run an asset and compare it with upstream.

    Args:
        asset: the saved `.aimodel`.
        work: an empty folder to compile in.
        request: what the asset is.
        network: what was converted.
        build_upstream: gives upstream's network in fp32.
        compress: what was done to the asset's weights.

    Returns:
        What was measured, for the manifest: shape, reference, error and limit by output.

    Raises:
        ExportError: the asset does not run, or its outputs are not upstream's.
    """
    arrays = probe_inputs(request)
    found = run_asset(asset, work, arrays)
    wanted = reference(request, build_upstream(), arrays)
    errors = compare(found, wanted, LIMIT)
    against = "upstream fp32"
    if compress != "none":
        errors = compare(found, wanted, COMPRESSED[compress])
    elif request.policy.backbone != "float32":
        errors = _as_far_as(found, wanted, _run(network, arrays, request), HALF_FACTOR)
        against += f", {HALF_FACTOR:g} times the error of the same network in PyTorch allowed"
    elif not all(error.right for error in errors.values()):
        # Rebuilt: upstream keeps positions in the dtype it last ran in.
        exact = reference(request, build_upstream(), arrays, exact=True)
        errors = _as_far_as(found, exact, wanted, FACTOR)
        against = f"upstream fp64, {FACTOR:g} times the error of upstream fp32 allowed"
    wrong = [f"{name} is off by {e.relative:.1e} (limit {e.limit:.1e})" for name, e in errors.items() if not e.right]
    if wrong:
        raise ExportError(f"the converted asset does not compute the network: {'; '.join(wrong)}")
    return {
        "shape": str(request.shape),
        "reference": against,
        "outputs": {name: asdict(error) for name, error in errors.items()},
    }


def compare(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], limit: float) -> dict[str, OutputError]:
    """Every output of `wanted` against the one of that name.

    Raises:
        ExportError: one is missing or has another shape.
    """
    errors = {}
    for name, expected in wanted.items():
        if name not in found:
            raise ExportError(f"the asset has no output {name!r}")
        if found[name].shape != expected.shape:
            raise ExportError(f"output {name!r} of the asset is {found[name].shape}, not {expected.shape}")
        errors[name] = OutputError(distance(found[name], expected), 0.0 if _whole(expected) else limit)
    return errors


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative L2; of integers the share that differs. Not finite is infinitely far."""
    if _whole(expected):
        return float(np.mean(found != expected))
    difference = found.astype(np.float64) - expected.astype(np.float64)
    norm = float(np.linalg.norm(expected.astype(np.float64))) or 1.0
    relative = float(np.linalg.norm(difference)) / norm
    return relative if np.isfinite(relative) else float("inf")


def reference(request: ExportRequest, upstream: nn.Module, arrays: Arrays, exact: bool = False) -> Arrays:
    """Upstream's outputs by name, in fp32 or, `exact`, computed in fp64.

    Args:
        arrays: what :func:`probe_inputs` returned.
    """
    import torch

    from depthport.exporters.da3.upstream import double_arithmetic, from_pixels, upstream_forward

    image, *poses = (torch.from_numpy(array) for array in arrays.values())
    if request.preprocess:
        image = from_pixels(image, preprocessing(request))
    known = dict(zip(("extrinsics", "intrinsics"), poses, strict=False))
    if exact:
        with double_arithmetic():
            known = {name: pose.double() for name, pose in known.items()}
            found = upstream_forward(upstream.double(), image.double(), request.outputs, **known)
    else:
        found = upstream_forward(upstream, image, request.outputs, **known)
    return {name: value.numpy() for name, value in found.items()}


def _run(network: nn.Module, arrays: Arrays, request: ExportRequest) -> Arrays:
    import torch

    with torch.no_grad():
        outputs: tuple[Tensor, ...] = network(*(torch.from_numpy(array) for array in arrays.values()))
    return {name: value.numpy() for name, value in zip(request.outputs, outputs, strict=True)}


def _as_far_as(found: Arrays, wanted: Arrays, other: Arrays, factor: float) -> dict[str, OutputError]:
    """Each output may be `factor` times as far from `wanted` as `other` is, and always :data:`LIMIT`."""
    return {
        name: OutputError(error.relative, error.limit and max(LIMIT, factor * distance(other[name], wanted[name])))
        for name, error in compare(found, wanted, LIMIT).items()
    }


def _whole(array: np.ndarray) -> bool:
    return bool(np.issubdtype(array.dtype, np.integer))
