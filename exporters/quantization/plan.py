"""From photographs and a network to the layers that are quantized and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.artifact import Shape
from exporters.errors import UnsupportedError, UsageError
from exporters.quantization.images import digest, find_images, scene
from exporters.quantization.layers import candidates, observe
from exporters.quantization.mix import Budget, Loss, choose, together
from exporters.quantization.sensitivity import QuantizedLayer, measure, quantize_layer

if TYPE_CHECKING:
    from exporters.base import ExportContext

MIXES = ("measured", "weights", "all")
DEFAULTS: dict[str, Any] = {
    "calibration": None, "mix": "measured", "max_depth_error": 8e-3, "max_rotation_deg": 0.4,
}  # fmt: skip
"""Four fifths of what int8 is asked to keep (1e-2, 0.5°): the budget is spent on other photographs than it is judged on."""

MEASURED_SCENES = 2
MEASURED_SIDE = 280
"""Longest side, pixels, of the scenes on which layers are measured one by one."""
NEGLIGIBLE = 2e-3
"""Layers with less than this share of the arithmetic stay float."""


@dataclass(frozen=True)
class Plan:
    """What was decided, and from what."""

    layers: dict[str, QuantizedLayer]
    table: tuple[Loss, ...]
    """Every layer that was measured; empty where nothing was."""
    gflop: float
    """Of all layers that could be quantized."""

    def report(self) -> dict[str, Any]:
        """For the manifest."""
        depth, rotation = together([loss for loss in self.table if loss.layer in self.layers])
        return {
            "layers": list(self.layers),
            "share_of_gflop": round(sum(layer.gflop for layer in self.layers.values()) / self.gflop, 4),
            "expected": {"depth": depth, "rotation_deg": rotation} if self.table else None,
            "sensitivity": [{**asdict(loss), "quantized": loss.layer in self.layers} for loss in self.table],
        }


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a quantized export with defaults, the calibration images as the hash of their contents.

    Raises:
        UsageError: an unknown option or value, or no such images.
        UnavailableError: no images named and scikit-image, which ships the default ones, is not here.
    """
    if unknown := [name for name in given if name not in DEFAULTS]:
        raise UsageError(f"precision int8 has no option {unknown[0]!r}: choose one of {', '.join(DEFAULTS)}")
    options = {**DEFAULTS, **given}
    if options["mix"] not in MIXES:
        raise UsageError(f"option mix is one of {', '.join(MIXES)}, not {options['mix']!r}")
    for name in ("max_depth_error", "max_rotation_deg"):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise UsageError(f"option {name} is a number above 0, not {value!r}")
    return {**options, "calibration": digest(find_images(options["calibration"]))}


def make_plan(context: ExportContext, *, signed: bool) -> Plan:
    """Calibrate, round, measure, choose.

    Args:
        context: of the export; its network is the fp32 one of the request.
        signed: int8 activations with zero 0 instead of uint8.
    """
    options = {**DEFAULTS, **context.request.options}
    paths = find_images(options["calibration"])
    network, shape = context.network(), context.request.shape
    context.progress(f"calibrating on {len(paths)} photographs")
    seen = observe(network, [scene(path, shape) for path in paths])
    if not seen:
        raise UnsupportedError(f"precision int8 has no layers to quantize in {context.request.model_name}: use fp32")
    total = sum(observation.gflop for observation in seen.values())
    weights_only = options["mix"] == "weights"
    layers: dict[str, QuantizedLayer] = {}
    modules = candidates(network)
    for index, (name, observation) in enumerate(seen.items()):
        if observation.gflop < NEGLIGIBLE * total and not weights_only:
            continue
        if index % 8 == 0:
            context.progress(f"rounding layer {index + 1} of {len(seen)}")
        weight: Any = modules[name].weight
        layers[name] = quantize_layer(
            name, weight.detach().numpy(), observation, signed=signed, weights_only=weights_only
        )
    if options["mix"] == "all":
        return Plan(layers, (), total)
    table = _measure(context, paths, layers)
    budget = Budget(options["max_depth_error"], options["max_rotation_deg"])
    names = {loss.layer for loss in choose(table, budget)}
    return Plan({name: layer for name, layer in layers.items() if name in names}, tuple(table), total)


def _measure(context: ExportContext, paths: Sequence[Path], layers: Mapping[str, QuantizedLayer]) -> list[Loss]:
    """The table, on scenes of one or two views of a reduced size: what layers lose relative to each other depends little
    on the size, and a forward pass per layer does."""
    from exporters.da3.models import get_model
    from exporters.da3.network import build_static
    from exporters.da3.shapes import PATCH
    from exporters.da3.upstream import build_upstream

    request = context.request
    factor = min(1.0, MEASURED_SIDE / max(request.shape.height, request.shape.width))
    height, width = (
        max(PATCH, round(side * factor / PATCH) * PATCH) for side in (request.shape.height, request.shape.width)
    )
    shape = Shape(1, min(request.shape.views, 2), height, width)
    upstream = build_upstream(request.model, context.state_dict())
    outputs = [name for name in ("depth", "extrinsics") if name in get_model(request.model).outputs]
    network = build_static(upstream, 1, shape.views, height, width, outputs, request.policy.unquantized())
    step = max(1, len(paths) // MEASURED_SCENES)
    images = [scene(path, shape) for path in paths[::step][:MEASURED_SCENES]]
    return measure(network, images, layers, context.progress)
