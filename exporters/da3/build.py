"""The network of a request, with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.weights import load_state_dict, resolve_weights

if TYPE_CHECKING:
    from torch import nn


def request_network(upstream: nn.Module, request: ExportRequest) -> nn.Module:
    """The network of a request for normalised images.

    It is dynamic where dimensions are open, else static; float where the policy quantizes.
    """
    shape, policy = request.shape, request.policy.unquantized()
    net: nn.Module
    if request.dynamic:
        from depthport.exporters.da3.dynamic.network import build_dynamic

        net = build_dynamic(upstream, request.outputs, policy, pose_input=request.pose_input)
    else:
        from depthport.exporters.da3.static.network import build_static

        net = build_static(
            upstream, shape.batch, shape.views, shape.height, shape.width, request.outputs, policy,
            pose_input=request.pose_input,
        )  # fmt: skip
    return net


def named_upstream(model: str, weights: str | None) -> nn.Module:
    """Upstream's network with its weights, by the names that :func:`depthport.exporters.export` takes.

    Raises:
        DepthportError: what finding the model or loading the weights raises.
    """
    from depthport.exporters.da3.upstream import build_upstream

    spec = get_model(model)
    return build_upstream(spec, load_state_dict(resolve_weights(weights, spec), spec))
