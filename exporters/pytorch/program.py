"""The network as a `torch.export` program: the step that the formats `pytorch`, `onnx` and others share."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from depthport.exporters.base import ExportContext
from depthport.exporters.core.errors import ExportError, UnsupportedError, one_line
from depthport.exporters.core.open_dims import limits_of, resolve
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import input_specs

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram


def require_static(request: ExportRequest, *, allow: Collection[str] = ()) -> None:
    """Refuse what a program traced from the static network, or this format, can't express.

    Args:
        request: what is asked for.
        allow: what this format nevertheless supports: any of `dynamic`, `pose_input`, `preprocess`, and `quantization int8`
            or `quantization fp8` for one that it makes itself of the traced program.

    Raises:
        UnsupportedError: open dimensions, pose inputs, preprocessing in the graph, or a quantized policy.
    """
    quantization = request.policy.quantization
    refused = {
        f"dynamic {', '.join(request.dynamic)}": bool(request.dynamic) and "dynamic" not in allow,
        "pose inputs": request.pose_input and "pose_input" not in allow,
        "preprocessing in the graph": request.preprocess and "preprocess" not in allow,
        f"precision {request.policy.name!r}": quantization is not None and f"quantization {quantization}" not in allow,
    }
    rounded = quantization is not None or request.policy.camera_token is not None
    made_here = rounded and not refused[f"precision {request.policy.name!r}"]
    where = f" in precision {request.policy.name!r}" if made_here else ""
    for what, asked in refused.items():
        if asked:
            raise UnsupportedError(f"format {request.format!r} has no {what}{where}: export without it")


TRACED = {"batch": 2, "views": 3, "height": 70, "width": 98}
"""Sizes at which open dimensions are traced: none that a rule singles out (1, or equal sides)."""


def from_pixels(network: nn.Module, request: ExportRequest) -> nn.Module:
    """The network behind the request's preprocessing, where that is part of the graph."""
    if not request.preprocess:
        return network
    from depthport.exporters.da3.static.pixels import FromPixels

    return FromPixels(network, request.source_size, (request.shape.height, request.shape.width))


def example_inputs(request: ExportRequest) -> tuple[Tensor, ...]:
    """Inputs to trace with; their values do not reach the program."""
    import torch

    specs = resolve(input_specs(request), TRACED)
    return tuple(torch.zeros([int(dim) for dim in spec.shape], dtype=getattr(torch, spec.dtype)) for spec in specs)


def dynamic_shapes(request: ExportRequest) -> tuple[dict[int, object], ...] | None:
    """Return the open dimensions of each input, as `torch.export` takes them; None where none is."""
    if not request.dynamic:
        return None
    from torch.export import Dim

    opened: dict[str, object] = {"batch": Dim("batch", min=1)}
    for name, (low, high, step) in limits_of(request.dynamic).items():
        dim = Dim(name if step == 1 else f"{name}_{step}", min=low // step, max=high // step)
        opened[name] = dim if step == 1 else step * dim
    return tuple(
        {axis: opened[dim] for axis, dim in enumerate(spec.shape) if isinstance(dim, str)} for spec in input_specs(request)
    )


def export_program(context: ExportContext, network: nn.Module | None = None) -> ExportedProgram:
    """Trace the request's network, or `network` in its place.

    Raises:
        ExportError: torch.export failed, or the program's outputs are not those of the request.
    """
    import torch

    network = from_pixels(context.network() if network is None else network, context.request)
    context.progress("tracing")
    try:
        with torch.no_grad():
            program = torch.export.export(
                network, example_inputs(context.request), dynamic_shapes=dynamic_shapes(context.request), strict=False
            )
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
        raise ExportError(f"torch.export failed on {context.request.model.name}: {one_line(error)}") from error
    strip(program)
    return program


def strip(program: ExportedProgram) -> None:
    """Remove from a program what does not belong to it and would be stored.

    These are the example inputs, which are unpickled when it is read, and for every operator the lines of Python it
    comes from, with the paths of this machine.
    """
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
