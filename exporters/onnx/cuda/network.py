"""The static network whole, as a graph for ONNX Runtime's CUDA provider."""

from __future__ import annotations

import onnx_ir
import torch
from torch import nn

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.da3.static.layers import torch_dtype
from depthport.exporters.da3.static.network import StaticDA3
from depthport.exporters.onnx.cuda.backbone import BackboneEmitter
from depthport.exporters.onnx.cuda.camera import emit_camera
from depthport.exporters.onnx.cuda.emitter import Emitter, Value
from depthport.exporters.onnx.cuda.head import emit_head

INPUT = "image"


def emit_network(network: nn.Module) -> onnx_ir.Model:
    """The graph of a static network.

    Args:
        network: on the CPU; its parameters become the initializers, shared where no arithmetic changes them.

    Raises:
        UnsupportedError: a network or a part of it that has no form in these operators.
    """
    if not isinstance(network, StaticDA3):
        raise UnsupportedError("target 'ort-cuda' is for any-view models: leave out the target")
    g, shape = Emitter(), network.shape
    image = g.input(INPUT, (shape.batch, shape.views, 3, shape.height, shape.width), torch.float32)
    with torch.no_grad():
        backbone = BackboneEmitter(g, network.backbone, shape, torch_dtype(network.policy.backbone))
        features = backbone.emit(image)
        found: dict[str, Value] = {"reference_view": features.reference_view}
        if network.head is not None:
            found |= emit_head(g, network.head, features.tokens, shape, torch_dtype(network.policy.head))
        if network.camera is not None and network.pose is not None:
            views = shape.batch * shape.views
            found["extrinsics"], found["intrinsics"] = emit_camera(
                g, network.camera, network.pose, features.camera, views, split=network.policy.head == "float16"
            )
    outputs = []
    for name in network.output_names:
        size = output_shape(name, network)
        value = found[name] if name == "reference_view" else g.reshape(found[name], *size)
        outputs.append((name, value, size))
    return g.model([image], outputs)


def output_shape(name: str, network: StaticDA3) -> tuple[int, ...]:
    """Shape of an output in the manifest."""
    shape = network.shape
    scene = shape.batch, shape.views
    return {
        "depth": (*scene, *shape.size),
        "depth_conf": (*scene, *shape.size),
        "extrinsics": (*scene, 3, 4),
        "intrinsics": (*scene, 3, 3),
        "reference_view": (shape.batch,),
        "ray": (*scene, *shape.fused, 6),
        "ray_conf": (*scene, *shape.fused),
    }[name]
