"""Parts that converters of the traced program share: their copy, and the gate that their files must pass.

A converted file counts as exported only if it computes the network: run on the probe images
(:mod:`depthport.exporters.inputs.probe`), every output of an fp32 file is within :data:`LIMIT` of the network's and the
reference view is the same. Runtimes were found whose depth is right to 1e-6 and whose cameras are off by 100°, so every
output is held to it, whatever the request's precision; what a lower precision costs is then a number of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.base import ExportContext
from depthport.exporters.core.errors import ExportError
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.da3.build import request_network
from depthport.exporters.da3.signature import input_specs
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
from depthport.exporters.inputs.probe import probe_image
from depthport.exporters.pytorch.program import export_program

if TYPE_CHECKING:
    from torch import nn

Arrays = dict[str, np.ndarray]

LIMIT = 1e-5
"""Relative L2 of every float output of an fp32 file; 1e-6 is usual."""
ROUNDED_SHARE = 4.0
"""Error allowed in lower precision, relative to that of PyTorch's own run in that precision."""


def fp32_network(context: ExportContext) -> nn.Module:
    """The request's network with all arithmetic in fp32, whatever its policy."""
    if context.request.policy.unquantized().name == "fp32":
        return context.network()
    from depthport.exporters.da3.upstream import build_upstream

    upstream = build_upstream(context.request.model, context.state_dict())
    return request_network(upstream, replace(context.request, policy=POLICIES["fp32"]))


def save_copy(context: ExportContext, network: nn.Module, path: Path) -> None:
    """Trace `network` and save the program with its weights, for a converter in another process.

    Raises:
        ExportError: torch.export failed.
    """
    import torch

    program = export_program(context, network)
    context.progress("copying the program")
    torch.export.save(program, path)


def probe_inputs(context: ExportContext) -> Arrays:
    """Inputs of the request by native name: the probe images and, where poses go in, cameras in a row."""
    shape = context.request.shape
    size = (shape.batch, shape.views, shape.height, shape.width)
    inputs: Arrays = {"image": probe_image(*size, IMAGENET_MEAN, IMAGENET_STD)}
    for spec in input_specs(context.request)[1:]:
        inputs[spec.native_name] = _cameras(spec.name, *size)
    return inputs


def _cameras(name: str, batch: int, views: int, height: int, width: int) -> NDArray[np.float32]:
    """Extrinsics (B, N, 3, 4) of cameras a tenth apart that look one way, or their intrinsics (B, N, 3, 3)."""
    if name == "extrinsics":
        poses = np.tile(np.eye(3, 4, dtype=np.float32), (batch, views, 1, 1))
        poses[..., 0, 3] = -0.1 * np.arange(views)
        return poses
    focal = float(max(height, width))
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float32)
    return np.tile(camera, (batch, views, 1, 1))


def network_outputs(network: nn.Module, names: tuple[str, ...], inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Return the network's outputs for `inputs` (in its own order), by name."""
    import torch

    with torch.inference_mode():
        outputs = network(*(torch.from_numpy(array) for array in inputs.values()))
    return {name: value.numpy() for name, value in zip(names, outputs, strict=True)}


def errors(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Relative L2 by output; of an integer output the share of values that differ.

    Raises:
        ExportError: an output is missing, of another shape, or not finite.
    """
    result = {}
    for name, right in expected.items():
        if name not in found or found[name].shape != right.shape:
            have = f"has shape {found[name].shape}" if name in found else "is missing"
            raise ExportError(f"the converted file is not the network: output {name} {have}, the network's {right.shape}")
        value = found[name]
        if np.issubdtype(right.dtype, np.integer):
            result[name] = float(np.mean(value != right))
            continue
        if not np.isfinite(value).all():
            raise ExportError(f"the converted file is not the network: its {name} is not finite")
        result[name] = float(np.linalg.norm(value - right.astype(np.float64)) / np.linalg.norm(right.astype(np.float64)))
    return result


def require_network(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> dict[str, float]:
    """:func:`errors` of an fp32 file, all within :data:`LIMIT`.

    Raises:
        ExportError: one is not: the converter is wrong.
    """
    result = errors(found, expected)
    wrong = [f"{name} {error:.1e}" for name, error in result.items() if not error <= LIMIT]
    if wrong:
        raise ExportError(
            f"the converted file does not compute the network: {', '.join(wrong)} (relative L2, at most {LIMIT:g}); "
            "use the versions of the converter in constraints.txt"
        )
    return result


def require_rounded(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], rounded: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Require :func:`errors` of a file in lower precision to be at most :data:`ROUNDED_SHARE` times PyTorch's.

    The reference view must be PyTorch's in that precision.

    Args:
        found: the file's.
        expected: the network's in fp32.
        rounded: the network's in the file's precision, in PyTorch.

    Raises:
        ExportError: it is further off: the converter loses more than the precision does.
    """
    result, own = errors(found, expected), errors(rounded, expected)
    wrong = [f"{name} {error:.1e} ({own[name]:.1e})" for name, error in result.items() if not error <= _allowed(own[name])]
    if wrong:
        raise ExportError(
            f"the converted file loses more than its precision does: {', '.join(wrong)} (relative L2; PyTorch's own in "
            f"brackets, at most {ROUNDED_SHARE:g} times that): export fp32"
        )
    return result


def _allowed(own: float) -> float:
    return ROUNDED_SHARE * own + LIMIT
