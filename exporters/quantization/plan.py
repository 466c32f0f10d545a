"""From photographs and a network to the layers that are quantized and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from depthport.exporters.base import ExportContext
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import ExportError, UnsupportedError
from depthport.exporters.core.options import Above0, Options, read_options
from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.shapes import PATCH
from depthport.exporters.quantization.images import digest, find_images, held_out_scenes, scene, split
from depthport.exporters.quantization.layers import Observation, candidates, observe
from depthport.exporters.quantization.mix import Budget, Loss, choose, quadrature
from depthport.exporters.quantization.sensitivity import QuantizedLayer, quantize_layer
from depthport.exporters.quantization.trial import Trial, measure
from depthport.exporters.quantization.verify import Found, keep_within

if TYPE_CHECKING:
    from torch import nn


MAX_DEPTH_ERROR = 8e-3
MAX_ROTATION_DEG = 0.4
"""Four fifths of what int8 is asked to keep (1e-2, 0.5°): the mix is held to it on the worst of a few scenes, and a user
has others."""


class Int8Options(Options, frozen=True):
    """Options of precision `int8`."""

    where: ClassVar[str] = "precision int8"

    calibration: str | list[str] | None = None
    """A folder or files: photographs to calibrate with; by default some that scikit-image ships and no benchmark
    runs on."""
    mix: Literal["measured", "weights", "all"] = "measured"
    """`measured`: every layer is quantized alone, and those are kept that the budget allows; `weights`: 8-bit weights and
    float arithmetic, for size; `all`: every layer, whatever it costs."""
    max_depth_error: Above0 = MAX_DEPTH_ERROR
    """Budget of all quantized layers together: relative L2 of depth."""
    max_rotation_deg: Above0 = MAX_ROTATION_DEG
    """The same of the cameras' rotation, in degrees."""

    def to_json(self) -> dict[str, object]:
        """Return the form for manifest and key, with calibration images as the hash of their contents.

        Raises:
            UsageError: there are no such images.
            UnavailableError: no images named and scikit-image, which ships the default ones, is not here.
        """
        return {**msgspec.structs.asdict(self), "calibration": digest(find_images(self.calibration))}


MEASURED_SCENES = (2, 4)
"""Fewest and most scenes; small ones cost little."""
HELD_OUT_SCENES = (4, 24)
HELD_OUT_PIXELS = 8 * 504 * 504
"""Pixels of all scenes that the whole mix is tried on: eight of 504×504."""
MEASURED_SIDE = 280
"""Longest side, pixels, of the scenes on which layers are measured one by one."""
NEGLIGIBLE = 2e-3
"""Layers with less than this share of the arithmetic stay float."""


@dataclass(frozen=True)
class QuantizationPlan:
    """The layers decided on, and the basis of the decision."""

    layers: dict[str, QuantizedLayer]
    table: tuple[Loss, ...]
    """Every layer that was measured; empty where nothing was."""
    gflop: float
    """Arithmetic of all layers that could be quantized."""
    found: Found
    """Loss of :attr:`layers` together on held-out pictures."""

    def report(self) -> dict[str, object]:
        """Return the report for the manifest."""
        depth, rotation = quadrature([loss for loss in self.table if loss.layer in self.layers])
        return {
            "layers": list(self.layers),
            "share_of_gflop": round(sum(layer.gflop for layer in self.layers.values()) / self.gflop, 4),
            "expected": {"depth": depth, "rotation_deg": rotation} if self.table else None,
            "held_out": asdict(self.found),
            "sensitivity": [{**asdict(loss), "quantized": loss.layer in self.layers} for loss in self.table],
        }


def int8_options(request: ExportRequest) -> Int8Options:
    """The options of a quantized export.

    Raises:
        UsageError: an unknown option or value.
    """
    return read_options(Int8Options, request.options, f"precision 'int8' of format {request.format!r}")


def make_plan(context: ExportContext, *, signed: bool, rounded_outputs: bool) -> QuantizationPlan:
    """Calibrate, round, measure, choose.

    Args:
        context: of the export; its network is the fp32 one of the request.
        signed: int8 activations with zero 0 instead of uint8.
        rounded_outputs: what a convolution gives is rounded to 8 bits too.
    """
    options = int8_options(context.request)
    paths, held_out = split(options.calibration)
    network, shape = context.network(), context.request.shape
    context.progress(f"calibrating on {len(paths)} photographs")
    seen = observe(network, [scene(path, shape) for path in paths])
    if not seen:
        raise UnsupportedError(f"precision int8 has no layers to quantize in {context.request.model.name}: use fp32")
    total = sum(observation.gflop for observation in seen.values())
    layers = _round(
        context, seen, total, signed=signed, rounded_outputs=rounded_outputs, weights_only=options.mix == "weights"
    )
    images = held_out_scenes(paths, held_out, shape, held_out_count(shape))
    exact = judge(context, shape, context.request.policy.unquantized())
    trial = Trial(exact, exact, images, layers)
    parts = [Loss(layer.name, layer.gflop, 0, 0) for layer in layers.values()]
    if options.mix == "all":
        context.progress(f"trying all layers on {len(images)} held-out scenes")
        return QuantizationPlan(layers, (), total, Found(len(images), *trial.errors(parts)))
    small = small_shape(shape)
    network = judge(context, small, context.request.policy.unquantized())
    table = measure(Trial(network, network, small_scenes(paths, small), layers), parts, context.progress)
    budget = Budget(options.max_depth_error, options.max_rotation_deg)
    # Filled up to its edge, a budget of rotation is overrun on other scenes, where a camera turns up to twice as far.
    room = replace(budget, rotation_deg=budget.rotation_deg / 2)
    mix, found = keep_within(trial, choose(table, budget), table, budget, context.progress, room)
    if not mix:
        raise ExportError(
            f"int8 can't keep depth within {budget.depth:g} and cameras within {budget.rotation_deg:g}° in any layer: "
            "raise max_depth_error or max_rotation_deg, calibrate on more photographs, or export fp32"
        )
    kept = {loss.layer for loss in mix}
    return QuantizationPlan({name: layer for name, layer in layers.items() if name in kept}, tuple(table), total, found)


def _round(
    context: ExportContext, seen: Mapping[str, Observation], total: float, *, signed: bool, rounded_outputs: bool,
    weights_only: bool,
) -> dict[str, QuantizedLayer]:  # fmt: skip
    """All layers in 8 bits that are worth it, in the network's order."""
    layers: dict[str, QuantizedLayer] = {}
    modules = candidates(context.network())
    for index, (name, observation) in enumerate(seen.items()):
        if observation.gflop < NEGLIGIBLE * total and not weights_only:
            continue
        if index % 8 == 0:
            context.progress(f"rounding layer {index + 1} of {len(seen)}")
        weight: Any = modules[name].weight
        layers[name] = quantize_layer(
            name, weight.detach().numpy(), observation, signed=signed, rounded_outputs=rounded_outputs,
            weights_only=weights_only,
        )  # fmt: skip
    return layers


def held_out_count(shape: Shape) -> int:
    """Return how many scenes of `shape` a network is tried on as a whole."""
    return _scenes(HELD_OUT_SCENES, HELD_OUT_PIXELS, shape.batch * shape.views * shape.height * shape.width)


def _scenes(limits: tuple[int, int], pixels: int, each: int) -> int:
    """Return the number of scenes of `each` pixels to take, about `pixels` together."""
    return min(limits[1], max(limits[0], pixels // each))


def small_shape(whole: Shape) -> Shape:
    """The shape of the scenes that layers are measured on one by one: one or two views of a reduced size.

    What layers lose relative to each other depends little on the size, and a forward pass per layer does.
    """
    factor = min(1.0, MEASURED_SIDE / max(whole.height, whole.width))
    height, width = (max(PATCH, round(side * factor / PATCH) * PATCH) for side in (whole.height, whole.width))
    return Shape(1, min(whole.views, 2), height, width)


def small_scenes(paths: Sequence[Path], shape: Shape) -> list[NDArray[np.float32]]:
    """Some of the calibration's photographs as scenes of :func:`small_shape`."""
    count = _scenes(MEASURED_SCENES, MEASURED_SCENES[0] * MEASURED_SIDE**2, shape.views * shape.height * shape.width)
    step = max(1, len(paths) // count)
    return [scene(path, shape) for path in paths[::step][:count]]


def judge(context: ExportContext, shape: Shape, policy: PrecisionPolicy) -> nn.Module:
    """The request's network in `policy` for `shape`, with the outputs that errors are told by; weights are shared."""
    from depthport.exporters.da3.static.network import build_static
    from depthport.exporters.da3.upstream import build_upstream

    request = context.request
    upstream = build_upstream(request.model, context.state_dict())
    outputs = [name for name in ("depth", "extrinsics") if name in request.model.outputs]
    return build_static(upstream, shape.batch, shape.views, shape.height, shape.width, outputs, policy)
