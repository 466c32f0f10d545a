"""Compressing the weights of a converted package: int8, int4 in blocks, or a palette of 256, 64 or 16 values.

Only what linear layers and convolutions multiply with is compressed, and of that neither the camera decoder, the patch
convolution nor the last convolution before an exponential, which are small and decide much. Tables (rotary and position
embedding, UV) stay as they are. Activations keep their dtype: Core ML expands the weights when it loads or multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import ExportError, one_line
from depthport.exporters.coreml.mil.program import Function
from depthport.exporters.coreml.options import CoreMLOptions
from depthport.exporters.coreml.palette import palette
from depthport.exporters.coreml.shims import import_coremltools, shimmed

if TYPE_CHECKING:
    from coremltools.models import MLModel
    from coremltools.optimize.coreml import OptimizationConfig

WEIGHTED = ("linear", "conv", "conv_transpose", "matmul")
EXCLUDED = ("camera_", "output_logits", "patch_embed")
"""Parts of the names of constants that are never compressed."""
BLOCK = 32
GROUP = 16
RELATIVE_ERROR = {"int8": 0.02, "int4": 0.2, "palette8": 0.02, "palette6": 0.08, "palette4": 0.25}
"""Largest RMS error of one compressed constant over its own RMS; a wrong expansion is off by about 1."""


def compress(model: MLModel, options: CoreMLOptions, function: Function) -> MLModel:
    """A compressed copy of a coremltools model.

    Args:
        model: what was converted.
        options: `compress` and `target`.
        function: the model's function as it was saved; names of its constants say what not to compress.

    Raises:
        ExportError: coremltools failed.
    """
    ct = import_coremltools()
    import coremltools.optimize.coreml as cto

    op_config = _config(cto, options)
    kept = {name: None for name in function.constants() if any(part in name for part in EXCLUDED)}
    config = cto.OptimizationConfig(op_type_configs=dict.fromkeys(WEIGHTED, op_config), op_name_configs=kept)
    shrink = cto.palettize_weights if options.compress.startswith("palette") else cto.linear_quantize_weights
    with shimmed():
        try:
            return shrink(model, config)
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise ExportError(f"coremltools {ct.__version__} can't compress the weights: {one_line(error)}") from error


def _config(cto: ModuleType, options: CoreMLOptions) -> OptimizationConfig:
    kind = options.compress
    newer = options.specification >= 9
    if kind == "int8":
        return cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", granularity="per_channel")
    if kind == "int4":
        return cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=BLOCK)
    bits = int(kind.removeprefix("palette"))
    # Tables for groups of channels exist from iOS18 on; before that, one table a tensor.
    grouped = {"granularity": "per_grouped_channel", "group_size": GROUP} if newer and bits < 8 else {}
    return cto.OpPalettizerConfig(mode="custom", lut_function=lambda values: palette(values, 1 << bits), **grouped)


def compression_report(before: Function, after: Function, kind: str) -> dict[str, object]:
    """Compare a compressed function with the one it was made from.

    Returns:
        How many constants and bytes were compressed, and the worst relative RMS error of one.

    Raises:
        ExportError: something other than constants changed, or a constant expands to something else.
    """
    import torch

    from depthport.exporters.coreml.mil.interpreter import Interpreter

    plain = before.constants()
    shape = [(op.type, len(op.outputs)) for op in before.operations if op.type != "const"]
    kept = [(op.type, len(op.outputs)) for op in after.operations if op.type != "const" and not _expands(op.type)]
    if shape != kept:
        raise ExportError(f"compressing to {kind} changed the operations themselves: export without compress")
    renamed = _constants_by_use(before, after)
    constants_only = Interpreter(_only_constants(after))
    worst, worst_name, count, elements = 0.0, "", 0, 0
    for step in constants_only.steps({}):
        if not _expands(step.operation.type) or step.operation.name not in renamed:
            continue
        original = torch.from_numpy(np.array(plain[renamed[step.operation.name]])).float()
        error = (step.outputs[0] - original).square().mean().sqrt() / original.square().mean().sqrt().clamp_min(1e-30)
        count, elements = count + 1, elements + original.numel()
        if float(error) > worst:
            worst, worst_name = float(error), step.operation.name
    if worst > RELATIVE_ERROR[kind]:
        raise ExportError(
            f"{kind} constant {worst_name!r} is off by {worst:.1%} (limit {RELATIVE_ERROR[kind]:.0%}): "
            "the package does not hold the weights"
        )
    total = sum(v.size for v in plain.values() if isinstance(v, np.ndarray))
    return {
        "kind": kind, "constants": count, "share_of_elements": elements / max(1, total),
        "worst_relative_rms": worst, "worst": worst_name,
    }  # fmt: skip


def _expands(op_type: str) -> bool:
    return op_type.startswith("constexpr_")


def _only_constants(function: Function) -> Function:
    """The function cut down to its constants and their expansion."""
    operations = tuple(op for op in function.operations if op.type == "const" or _expands(op.type))
    return Function(function.name, function.opset, (), operations, ())


def _constants_by_use(before: Function, after: Function) -> Mapping[str, str]:
    """Map each expansion in `after` to its constant in `before`: operations correspond in order."""
    expanded = {op.name for op in after.operations if _expands(op.type)}
    pairs = zip(
        (op for op in before.operations if op.type != "const"),
        (op for op in after.operations if op.type != "const" and not _expands(op.type)),
        strict=True,
    )
    found: dict[str, str] = {}
    for old, new in pairs:
        for parameter, bindings in new.inputs.items():
            for index, binding in enumerate(bindings):
                source = old.inputs[parameter][index].name
                if binding.name in expanded and source is not None:
                    found[str(binding.name)] = source
    return found
