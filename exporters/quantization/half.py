"""The 16-bit network that keeps poses: weights rounded against photographs, layers chosen within a budget.

Rounded each on its own, the weights alone turn the cameras of da3-small by 0.2-0.4° (README.md); rounded one after the
other so that each makes good what those before it changed (GPTQ, as for 8 bits), by a third of that. What still loses too
much on held-out scenes goes back to fp32, best bargains last; where the policy quantizes (`int8-bf16`), linear layers go
down to 8 bits as far as the same budget allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np

from depthport.exporters.base import ExportContext
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import ExportError, UnsupportedError
from depthport.exporters.core.options import Above0, Options, read_options
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.quantization.images import digest, find_images, held_out_scenes, scene, split
from depthport.exporters.quantization.layers import Observation, observe
from depthport.exporters.quantization.mix import Budget, Loss, choose, scaled
from depthport.exporters.quantization.parts import HalfParts
from depthport.exporters.quantization.plan import held_out_count, judge, small_scenes, small_shape
from depthport.exporters.quantization.rounding import bfloat16, compensate
from depthport.exporters.quantization.sensitivity import QuantizedLayer, quantize_layer
from depthport.exporters.quantization.trial import Trial, measure
from depthport.exporters.quantization.verify import Found, keep_within

MAX_DEPTH_ERROR = 9e-3
MAX_ROTATION_DEG = 0.25
"""What the worst of a few held-out scenes may lose so that a user's lose no more than one can live with, 1e-2 and 0.4°: on
other scenes depth lost at most as much, but a camera turned half as far again."""

if TYPE_CHECKING:
    from torch import Tensor, nn


class RoundingOptions(Options, frozen=True):
    """Options of a policy whose weights are rounded against photographs."""

    where: ClassVar[str] = "precision bf16-poses (in ONNX int8-bf16 too)"

    calibration: str | list[str] | None = None
    """A folder or files: photographs to round the weights against; by default some that scikit-image ships and no
    benchmark runs on."""
    max_depth_error: Above0 = MAX_DEPTH_ERROR
    """Budget of all layers below fp32 together: relative L2 of depth, on the worst held-out scene."""
    max_rotation_deg: Above0 = MAX_ROTATION_DEG
    """The same of the cameras' rotation, in degrees."""

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


@dataclass(frozen=True)
class HalfPlan:
    """What a network, already changed in place, has in which precision."""

    layers: dict[str, QuantizedLayer]
    """Linear layers to quantize in the graph; fp32 in the network."""
    report: dict[str, object]
    """For the manifest: weights rounded, parts left fp32, layers in 8 bits, the table where one was needed, the loss."""


def lower_network(context: ExportContext, *, signed: bool = True) -> HalfPlan:
    """Round the bf16 weights of the export's network in place, and give its parts the precisions that the budget allows.

    Args:
        context: of the export.
        signed: activations of 8-bit layers are int8 with zero 0 instead of uint8.

    Raises:
        ExportError: the budget can't be kept.
    """
    request, network = context.request, context.network()
    shape, options = request.shape, rounding_options(request)
    paths, held_out = split(options.calibration)
    exact = judge(context, shape, POLICIES["fp32"])
    context.progress(f"rounding weights against {len(paths)} photographs")
    # What inputs look like does not depend on how many views there are, beyond there being another.
    few = replace(shape, batch=1, views=min(shape.views, 2))
    watched = exact if few == shape else judge(context, few, POLICIES["fp32"])
    seen = observe(watched, [scene(path, few) for path in paths])
    for name, observation in seen.items():
        observation.gflop *= shape.batch * shape.views / few.views
        network.get_submodule(name).get_parameter("weight").copy_(_rounded(exact, name, observation))
    halves = HalfParts(network, exact)
    layers = _quantized(exact, seen, halves, signed) if request.policy.quantization is not None else {}
    trial = Trial(network, exact, held_out_scenes(paths, held_out, shape, held_out_count(shape)), layers, halves)
    budget = Budget(options.max_depth_error, options.max_rotation_deg)
    mix, table, found = _choose(context, trial, halves, seen, layers, budget, paths)
    kept = trial.set(mix)
    half = {loss.layer for loss in mix}
    return HalfPlan(
        {layer.name: layer for layer in kept},
        {
            "layers": list(seen),
            "float32": [name for name in halves.names if name not in half],
            "int8": [layer.name for layer in kept],
            "budget": asdict(budget),
            "held_out": asdict(found),
            "sensitivity": [{**asdict(loss), "estimated_saved_ms": loss.saved, "taken": loss in mix} for loss in table],
        },
    )


def _choose(
    context: ExportContext, trial: Trial, halves: HalfParts, seen: Mapping[str, Observation],
    layers: Mapping[str, QuantizedLayer], budget: Budget, paths: Sequence[Path],
) -> tuple[list[Loss], list[Loss], Found]:  # fmt: skip
    """The mix, the table it was chosen from (empty where 16 bits throughout keep the budget) and what it loses."""
    gflop = {name: observation.gflop for name, observation in seen.items()} | halves.attention_gflop()
    parts = [Loss(name, gflop[name], 0, 0, "bfloat16") for name in halves.names]
    context.progress(f"trying 16 bits on {len(trial)} held-out scenes")
    depth, rotation = trial.errors(parts)
    if not layers and budget.holds(depth, rotation):
        return parts, [], Found(len(trial), depth, rotation)
    parts += [Loss(layer.name, layer.gflop, 0, 0) for layer in layers.values()]
    alone = measure(_small_trial(context, halves, layers, paths), parts, context.progress)
    table = scaled(alone, [loss for loss in alone if loss.dtype != "int8"], (depth, rotation))
    mix, found = keep_within(trial, choose(table, budget), table, budget, context.progress)
    if not budget.holds(found.depth, found.rotation_deg):
        raise ExportError(
            f"{context.request.precision} can't keep depth within {budget.depth:g} and cameras within "
            f"{budget.rotation_deg:g}° on held-out scenes with any part in fp32 (found {found.depth:.1e}, "
            f"{found.rotation_deg:.2f}°): raise max_depth_error or max_rotation_deg, calibrate on more photographs, or "
            "export fp32"
        )
    return mix, table, found


def _small_trial(
    context: ExportContext, halves: HalfParts, layers: Mapping[str, QuantizedLayer], paths: Sequence[Path]
) -> Trial:
    """Of the same weights, on the small scenes that parts are measured on one by one."""
    small: Shape = small_shape(context.request.shape)
    network = judge(context, small, context.request.policy.unquantized())
    exact = judge(context, small, POLICIES["fp32"])
    return Trial(network, exact, small_scenes(paths, small), layers, halves.of(network, exact))


def _rounded(exact: nn.Module, name: str, seen: Observation) -> Tensor:
    """The fp32 weight of a layer on the grid of bf16."""
    import torch

    weight = exact.get_submodule(name).get_parameter("weight").detach()
    columns = compensate(np.ascontiguousarray(weight.flatten(1).numpy().T), seen.hessian, bfloat16)
    return torch.from_numpy(np.ascontiguousarray(columns.T)).reshape(weight.shape)


def _quantized(
    exact: nn.Module, seen: Mapping[str, Observation], halves: HalfParts, signed: bool
) -> dict[str, QuantizedLayer]:
    """The linear layers in 8 bits that compute no camera token."""
    found: dict[str, QuantizedLayer] = {}
    for name in filter(halves.apart, seen):
        weight: Any = exact.get_submodule(name).weight
        found[name] = quantize_layer(name, weight.detach().numpy(), seen[name], signed=signed, weights_only=False)
    return found
