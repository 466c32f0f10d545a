"""bf16 weights rounded against photographs, and what the 16-bit network loses on others.

Rounded each on its own, the weights alone turn the cameras of da3-small by 0.2-0.4° (README.md); rounded one after the
other so that each makes good what those before it changed (GPTQ, as for 8 bits), by a third of that. Nothing but weights
changes, so the network is as fast, and any runtime can have it.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from depthport.exporters.base import ExportContext
from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.quantization.images import digest, find_images, held_out_scenes, scene, split
from depthport.exporters.quantization.layers import observe
from depthport.exporters.quantization.plan import held_out_count, judge
from depthport.exporters.quantization.rounding import bfloat16, compensate
from depthport.exporters.quantization.sensitivity import compare, infer
from depthport.exporters.quantization.verify import Found

if TYPE_CHECKING:
    from torch import nn


class RoundingOptions(Options, frozen=True):
    """Options of a policy whose weights are rounded against photographs."""

    where: ClassVar[str] = "precision bf16-poses"

    calibration: str | list[str] | None = None
    """A folder or files: photographs to round the weights against; by default some that scikit-image ships and no
    benchmark runs on."""

    def to_json(self) -> dict[str, object]:
        """Return the form for manifest and key, with the photographs as the hash of their contents.

        Raises:
            UsageError: there are no such images.
            UnavailableError: no images named and scikit-image, which ships the default ones, is not here.
        """
        return {**msgspec.structs.asdict(self), "calibration": digest(find_images(self.calibration))}


def rounding_options(request: ExportRequest) -> RoundingOptions:
    """The options of such an export.

    Raises:
        UsageError: an unknown option or value.
        UnsupportedError: the model is not one network with poses.
    """
    if request.model.family != "anyview":
        raise UnsupportedError(
            f"precision {request.precision!r} is for one network with poses, not {request.model.name}: use bf16"
        )
    return read_options(RoundingOptions, request.options, f"precision {request.precision!r} of format {request.format!r}")


def round_weights(context: ExportContext) -> dict[str, object]:
    """Round the bf16 weights of the export's network, in place, against photographs.

    Returns:
        The manifest's report: layers rounded, and the loss on held-out scenes of the whole network as torch computes it.
    """
    import torch

    shape, network = context.request.shape, context.network()
    paths, held_out = split(rounding_options(context.request).calibration)
    exact = judge(context, shape, POLICIES["fp32"])
    context.progress(f"rounding weights against {len(paths)} photographs")
    rounded = []
    # What inputs look like does not depend on how many views there are, beyond there being another.
    few = replace(shape, batch=1, views=min(shape.views, 2))
    watched = exact if few == shape else judge(context, few, POLICIES["fp32"])
    for name, seen in observe(watched, [scene(path, few) for path in paths]).items():
        weight = exact.get_submodule(name).get_parameter("weight").detach()
        columns = compensate(np.ascontiguousarray(weight.flatten(1).numpy().T), seen.hessian, bfloat16)
        network.get_submodule(name).get_parameter("weight").copy_(torch.from_numpy(columns.T).reshape(weight.shape))
        rounded.append(name)
    images = held_out_scenes(paths, held_out, shape, held_out_count(shape))
    context.progress(f"trying it on {len(images)} held-out scenes")
    found = losses(network, exact, images)
    return {"layers": rounded, "held_out": asdict(found)}


def losses(network: nn.Module, exact: nn.Module, images: list[np.ndarray]) -> Found:
    """Loss of `network` against `exact` on scenes (B, N, 3, H, W), the worst of them."""
    errors = [compare(infer(network, image), infer(exact, image)) for image in images]
    depth, rotation = np.max(errors, axis=0)
    return Found(len(images), float(depth), float(rotation))
