"""From the static network to an ML Program, with coremltools, by either of its two routes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import ExportError, one_line
from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.coreml.islands import fp16_predicate
from depthport.exporters.coreml.options import CoreMLOptions
from depthport.exporters.coreml.shims import import_coremltools, shimmed

if TYPE_CHECKING:
    import torch
    from coremltools.converters.mil.input_types import InputType
    from coremltools.models import MLModel
    from torch import Tensor
    from torch.export import ExportedProgram

    from depthport.exporters.coreml.network import PackageNetwork

DEBUG_MAP = "executorch_debug_handle_mapping.json"


def convert(
    network: PackageNetwork,
    examples: Sequence[Tensor],
    options: CoreMLOptions,
    policy: PrecisionPolicy,
    graph: torch.jit.ScriptModule | ExportedProgram | None = None,
) -> MLModel:
    """The network as a coremltools model, not yet saved.

    Args:
        network: what the package computes, with its interface.
        examples: one tensor an input, of the input's shape; values are not used.
        options: target, route, islands and whether inputs and outputs are fp16 (`ane`).
        policy: fp16 in the backbone or the head makes an fp16 program but for the islands; else everything is fp32.
        graph: what :func:`capture` made of the network; None: captured here.

    Raises:
        ExportError: torch or coremltools refused the network.
    """
    ct = import_coremltools()
    half = "float16" in (policy.backbone, policy.head)
    with shimmed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = capture(network, examples, options.route) if graph is None else graph
        try:
            return ct.convert(
                traced,
                source="pytorch",
                inputs=_inputs(ct, network, examples, options.ane),
                outputs=_outputs(ct, network, options.ane),
                convert_to="mlprogram",
                minimum_deployment_target=getattr(ct.target, options.target),
                compute_precision=(
                    ct.transform.FP16ComputePrecision(op_selector=fp16_predicate(options.islands))
                    if half
                    else ct.precision.FLOAT32
                ),
                skip_model_load=True,
            )
        except (ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
            raise ExportError(f"coremltools {ct.__version__} can't convert the network: {one_line(error)}") from error


def capture(network: PackageNetwork, examples: Sequence[Tensor], route: str) -> torch.jit.ScriptModule | ExportedProgram:
    """The network as a graph: `torch.export` (with its operations named by module) or `torch.jit.trace`.

    Raises:
        ExportError: torch can't capture it.
    """
    import torch

    with torch.no_grad():
        try:
            if route == "trace":
                traced: torch.jit.ScriptModule = torch.jit.trace(network, tuple(examples), check_trace=False)
                return traced
            program: ExportedProgram = torch.export.export(network, tuple(examples), strict=False).run_decompositions({})
        except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
            raise ExportError(f"torch can't {route} the network: {one_line(error)}") from error
    _label(program)
    return program


def save(model: MLModel, path: Path) -> None:
    """Write a coremltools model as a package."""
    with shimmed():
        model.save(str(path))
    # A map for a debugger of another framework, which the package format knows nothing of.
    (path / DEBUG_MAP).unlink(missing_ok=True)


def _label(program: ExportedProgram) -> None:
    """Put the module's path where coremltools keeps an operation's origin; by default that is a Python stack trace."""
    for node in program.graph.nodes:
        modules = node.meta.get("nn_module_stack") or {}
        paths = [str(path) for path, _ in modules.values()]
        node.meta["stack_trace"] = paths[-1] if paths else ""


def _inputs(ct: ModuleType, network: PackageNetwork, examples: Sequence[Tensor], half: bool) -> list[InputType]:
    if network.face.images:
        names = network.face.images
        colour = ct.colorlayout.RGB
        return [
            ct.ImageType(name=name, shape=tuple(x.shape), color_layout=colour)
            for name, x in zip(names, examples, strict=True)
        ]
    return [ct.TensorType(name="image", shape=tuple(examples[0].shape), dtype=np.float16 if half else np.float32)]


def _outputs(ct: ModuleType, network: PackageNetwork, half: bool) -> list[InputType]:
    dtypes = {"reference_view": np.int32}
    default = np.float16 if half else np.float32
    return [ct.TensorType(name=name, dtype=dtypes.get(name, default)) for name in network.face.outputs]
