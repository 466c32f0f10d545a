"""The dynamic network: the static one's function for shapes that are known only at run time.

Equal to the static network, and so to upstream, to the order of summation. It exists for graphs with open dimensions
(:mod:`depthport.exporters.onnx.exporter`); where the shape is known the static one is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.da3.dynamic.backbone import DynamicBackbone
from depthport.exporters.da3.dynamic.head import DynamicHead, Grid
from depthport.exporters.da3.dynamic.sizes import number
from depthport.exporters.da3.models import FAMILIES, validate_outputs
from depthport.exporters.da3.shapes import PATCH
from depthport.exporters.da3.static.camera import CameraDecoder, PoseMatrices
from depthport.exporters.da3.static.camera_encoder import CameraEncoder
from depthport.exporters.da3.static.layers import torch_dtype
from depthport.exporters.da3.upstream import network_family

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import NetworkParts


class DynamicPoseMatrices(PoseMatrices):
    """The pose arithmetic with the image's size as an input."""

    last_column: Tensor
    """(1, 3): 0, 0, 1."""

    def __init__(self) -> None:
        super().__init__((2, 2))
        self.register_buffer("last_column", torch.tensor([[0.0, 0.0, 1.0]]), persistent=False)

    def forward(self, encoding: Tensor, half_size: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """`half_size` is (2,) fp32: H / 2, W / 2."""
        point = torch.cat((half_size[1:], half_size[:1], torch.ones_like(half_size[:1])))
        intrinsics = self._intrinsics(encoding[..., 7:], half_size, point.unsqueeze(-1) * self.last_column)
        return self._extrinsics(encoding[..., :3], encoding[..., 3:7]), intrinsics


class DynamicDA3(nn.Module):
    """Depth Anything 3 for any (B, N, H, W) up to 1,008 pixels a side; make it with :func:`build_dynamic`."""

    def __init__(self, upstream: NetworkParts, outputs: tuple[str, ...], policy: PrecisionPolicy, pose_input: bool) -> None:
        super().__init__()
        self.output_names = outputs
        self.policy = policy
        source = upstream.backbone
        self.backbone = DynamicBackbone(source.pretrained, source.out_layers, torch_dtype(policy.backbone))
        depth, ray, camera = (
            any(name in outputs for name in names)
            for names in (("depth", "depth_conf"), ("ray", "ray_conf"), ("extrinsics", "intrinsics"))
        )
        self.head = (
            DynamicHead(upstream.head, torch_dtype(policy.head), PATCH, depth=depth, ray=ray) if depth or ray else None
        )
        self.camera = CameraDecoder(upstream.cam_dec) if camera else None
        self.pose = DynamicPoseMatrices() if camera else None
        self.encoder = CameraEncoder(upstream.cam_enc) if pose_input else None

    def forward(
        self, image: Tensor, extrinsics: Tensor | None = None, intrinsics: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Same as :meth:`depthport.exporters.da3.static.network.StaticDA3.forward`."""
        scene = tuple(image.shape[:2])
        half_size = torch.cat([number(side, image) for side in image.shape[-2:]]).float() * 0.5
        known = None if self.encoder is None else self.encoder(extrinsics, intrinsics, half_size)
        features = self.backbone(image, known)
        found: dict[str, Tensor] = {"reference_view": features.reference_view}
        if self.head is not None:
            maps = self.head(features.patches, Grid.of(image, PATCH))
            found.update({name: value.unflatten(0, scene) for name, value in maps.items()})
        if self.camera is not None and self.pose is not None:
            encoding = self.camera(features.camera.unflatten(0, scene))
            found["extrinsics"], found["intrinsics"] = self.pose(encoding, half_size)
        return tuple(found[name] for name in self.output_names)


def build_dynamic(
    upstream: nn.Module, outputs: Sequence[str] | None, policy: PrecisionPolicy, *, pose_input: bool = False
) -> DynamicDA3:
    """Build the dynamic network of an upstream network.

    Arguments are those of :func:`depthport.exporters.da3.static.network.build_static`.

    Raises:
        UsageError: an output the model does not have.
        UnsupportedError: a network of another family.
    """
    if network_family(upstream) != "anyview":
        raise UnsupportedError("only an any-view network has open dimensions: export this one for one shape")
    names = validate_outputs(FAMILIES["anyview"], outputs)
    with torch.no_grad():
        net = DynamicDA3(cast("NetworkParts", upstream), names, policy, pose_input)
    return net.eval().requires_grad_(False)
