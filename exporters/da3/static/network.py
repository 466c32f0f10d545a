"""The static network: upstream's function for one input shape, as plain tensor operations that every exporter takes.

Upstream's forward can be neither traced nor compiled whole. The network here takes upstream's parameters (shared, not
copied, in fp32) and computes the same function for a fixed (B, N, H, W), with everything that depends on the shape
alone a constant and nothing computed that is not asked for. Its forward has no data-dependent Python, no in-place
write, no tensor of size zero and no tensor of rank above 5.

In fp32 on a CPU it equals upstream to 1e-6 relative. Other policies cast explicitly; which part is in which dtype is
data (:mod:`depthport.exporters.core.precision`), except what low precision would break, which is fp32 always: the
residual stream, LayerNorm, QK-norm and rotary embedding, reference-view selection, the camera decoder, the last 1×1
convolution and the exponential of the head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.da3.models import FAMILIES, Family, validate_outputs
from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.backbone import Backbone
from depthport.exporters.da3.static.camera import CameraDecoder, PoseMatrices
from depthport.exporters.da3.static.camera_encoder import CameraEncoder
from depthport.exporters.da3.static.camera_row import SplitBackbone
from depthport.exporters.da3.static.head import DualHead
from depthport.exporters.da3.static.layers import torch_dtype
from depthport.exporters.da3.static.mono import StaticMono
from depthport.exporters.da3.static.nested import StaticNested, anyview_outputs, metric_outputs
from depthport.exporters.da3.upstream import network_family

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import NestedParts, NetworkParts


class StaticDA3(nn.Module):
    """Depth Anything 3 for one (B, N, H, W); make it with :func:`build_static`."""

    half_size: Tensor
    """(2,): H / 2, W / 2; where poses are taken."""

    def __init__(
        self,
        upstream: NetworkParts,
        shape: NetworkShape,
        outputs: tuple[str, ...],
        policy: PrecisionPolicy,
        pose_input: bool = False,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.output_names = outputs
        self.policy = policy
        source = upstream.backbone
        backbone = SplitBackbone if policy.camera_token == "float32" else Backbone
        self.backbone = backbone(source.pretrained, source.out_layers, shape, torch_dtype(policy.backbone))
        depth, ray, camera = (
            any(name in outputs for name in names)
            for names in (("depth", "depth_conf"), ("ray", "ray_conf"), ("extrinsics", "intrinsics"))
        )
        self.head = DualHead(upstream.head, shape, torch_dtype(policy.head), depth=depth, ray=ray) if depth or ray else None
        self.camera = CameraDecoder(upstream.cam_dec) if camera else None
        self.pose = PoseMatrices(shape.size) if camera else None
        self.encoder = CameraEncoder(upstream.cam_enc) if pose_input else None
        if pose_input:
            self.register_buffer("half_size", torch.tensor(shape.size) / 2, persistent=False)

    def forward(
        self, image: Tensor, extrinsics: Tensor | None = None, intrinsics: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """(B, N, 3, H, W) fp32, ImageNet-normalised, to the outputs in the order of `output_names`.

        A network with pose input takes `extrinsics` (B, N, 4, 4) and `intrinsics` (B, N, 3, 3) besides, as
        :class:`~depthport.exporters.da3.static.camera_encoder.CameraEncoder` wants them.
        """
        scene = tuple(image.shape[:2])
        known = None if self.encoder is None else self.encoder(extrinsics, intrinsics, self.half_size)
        features = self.backbone(image, known)
        found: dict[str, Tensor] = {"reference_view": features.reference_view}
        if self.head is not None:
            maps = self.head(features.patches)
            found.update({name: value.unflatten(0, scene) for name, value in maps.items()})
        if self.camera is not None and self.pose is not None:
            encoding = self.camera(features.camera.unflatten(0, scene))
            found["extrinsics"], found["intrinsics"] = self.pose(encoding)
        return tuple(found[name] for name in self.output_names)


StaticNetwork = StaticDA3 | StaticMono | StaticNested
"""The static network of one of the families."""


def build_static(
    upstream: nn.Module,
    batch: int,
    views: int,
    height: int,
    width: int,
    outputs: Sequence[str] | None,
    policy: PrecisionPolicy,
    *,
    pose_input: bool = False,
) -> StaticNetwork:
    """The static network of an upstream network for one input shape.

    Args:
        upstream: a network of any family (:func:`depthport.exporters.da3.upstream.build_upstream`). Parameters already in
        the dtype
            the policy wants share its storage.
        batch, views, height, width: B, N, H, W of the input (B, N, 3, H, W).
        outputs: names of the outputs to compute, in any order; None for the default ones.
        policy: dtype of each part. Quantized policies quantize an exported graph, not this network.
        pose_input: take known poses as further inputs.

    Returns:
        The network in eval mode, without gradients, on the device of `upstream`'s parameters.

    Raises:
        UsageError: an impossible shape or an output the model does not have.
        UnsupportedError: a quantized policy.
    """
    if policy.quantization is not None:
        raise UnsupportedError(
            f"precision {policy.name!r} is a quantization of an exported graph: build the network in fp32 or bf16 "
            "and let the exporter quantize it"
        )
    family = network_family(upstream)
    names = validate_outputs(FAMILIES[family], outputs)
    shape = NetworkShape(batch, views, height, width)
    with torch.no_grad():
        if pose_input:
            if family != "anyview":
                raise UnsupportedError("only an any-view network takes poses: export this one without them")
            net: StaticNetwork = StaticDA3(cast("NetworkParts", upstream), shape, names, policy, pose_input)
        else:
            net = _STATIC[family](upstream, shape, names, policy)
    return net.eval().requires_grad_(False)


def _nested(upstream: NestedParts, shape: NetworkShape, outputs: tuple[str, ...], policy: PrecisionPolicy) -> StaticNested:
    own, metric = anyview_outputs(outputs), metric_outputs(outputs)
    return StaticNested(
        StaticDA3(upstream.da3, shape, own, policy) if own else None,
        StaticMono(upstream.da3_metric, shape, metric, policy) if metric else None,
        outputs,
    )


_STATIC: dict[Family, Callable[[Any, NetworkShape, tuple[str, ...], PrecisionPolicy], StaticNetwork]] = {
    "anyview": StaticDA3,
    "mono": StaticMono,
    "metric": StaticMono,
    "nested": _nested,
}
