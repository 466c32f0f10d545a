"""The static network as a `torch.export` program: the step that the formats `pytorch`, `onnx` and others share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporters.base import ExportContext, ExportRequest
from exporters.errors import ExportError, UnsupportedError, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram


def require_static(request: ExportRequest, quantizations: tuple[str, ...] = ()) -> None:
    """Refuse what a program traced from the static network can't express.

    Args:
        request: to check.
        quantizations: those that the exporter makes itself of the traced program.

    Raises:
        UnsupportedError: open dimensions, pose inputs, preprocessing in the graph, or a quantized policy.
    """
    refused = {
        f"dynamic {', '.join(request.dynamic)}": bool(request.dynamic),
        "pose inputs": request.pose_input,
        "preprocessing in the graph": request.preprocess,
        f"precision {request.policy.name!r}": request.policy.quantization not in (None, *quantizations),
    }
    for what, asked in refused.items():
        if asked:
            raise UnsupportedError(f"format {request.format!r} has no {what}: export without it")


def example_input(request: ExportRequest) -> Tensor:
    """A float32 `image` (B, N, 3, H, W) to trace with; its values do not reach the program."""
    import torch

    shape = request.shape
    return torch.zeros(shape.batch, shape.views, 3, shape.height, shape.width)


def export_program(context: ExportContext, network: nn.Module | None = None) -> ExportedProgram:
    """Trace the request's network, or `network` in its place.

    Raises:
        ExportError: torch.export failed, or the program's outputs are not those of the request.
    """
    import torch

    network = context.network() if network is None else network
    context.progress("tracing")
    try:
        with torch.no_grad():
            program = torch.export.export(network, (example_input(context.request),), strict=False)
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
        raise ExportError(f"torch.export failed on {context.request.model}: {one_line(error)}") from error
    # Neither is part of what the program is, and both would be stored: the example, and for every operator the lines of
    # Python it comes from, with the paths of this machine.
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program
