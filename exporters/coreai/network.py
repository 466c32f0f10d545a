"""Network to convert: that of a request with its pixels' preprocessing, and inputs to trace it with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import input_specs

if TYPE_CHECKING:
    from torch import Tensor, nn


def with_pixels(request: ExportRequest, network: nn.Module) -> nn.Module:
    """The network, taking uint8 pixels where the request says so."""
    if not request.preprocess:
        return network
    from depthport.exporters.da3.static.pixels import FromPixels

    shape = request.shape
    return FromPixels(network, request.source_size, (shape.height, shape.width)).eval()


def examples(request: ExportRequest) -> list[Tensor]:
    """Inputs of the request's shapes and dtypes, as tensors."""
    import torch

    return [torch.zeros([int(d) for d in spec.shape], dtype=getattr(torch, spec.dtype)) for spec in input_specs(request)]
