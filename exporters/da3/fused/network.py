"""The fused network whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.core.precision import POLICIES, PrecisionPolicy
from depthport.exporters.da3.fused.backbone import FusedBackbone, FusedBlock
from depthport.exporters.da3.fused.cards import Cards
from depthport.exporters.da3.fused.head import FusedDepth
from depthport.exporters.da3.kernels import pose_matrices
from depthport.exporters.da3.static.blocks import SwiGlu
from depthport.exporters.da3.static.head import Stage
from depthport.exporters.da3.static.layers import torch_dtype
from depthport.exporters.da3.static.network import StaticDA3, build_static


class FusedDA3(nn.Module):
    """Depth Anything 3 for one (B, N, H, W) on an NVIDIA GPU; make it with :func:`build_fused`."""

    def __init__(self, source: StaticDA3, policy: PrecisionPolicy) -> None:
        super().__init__()
        dtype, head_dtype = torch_dtype(policy.backbone), torch_dtype(policy.head)
        if source.head is None:
            raise UnsupportedError("the fused network computes depth: ask for depth or depth_conf")
        self.shape, self.output_names, self.policy = source.shape, source.output_names, policy
        head_norm = cast("Stage", source.head.stages[0]).norm.norm
        self.backbone = FusedBackbone(source.backbone, head_norm, dtype, head_dtype)
        self.head = FusedDepth(source.head, head_dtype)
        self.camera = source.camera

    def share(self, cards: Cards | None) -> None:
        """Compute the views of one card of several from now on; None: all views.

        Raises:
            UnsupportedError: a batch of scenes.
        """
        if cards is not None and self.shape.batch > 1:
            raise UnsupportedError(
                f"several GPUs share one scene, not a batch of {self.shape.batch}: run each scene on its own GPU"
            )
        self.backbone.cards = cards

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return int(cast("FusedBlock", self.backbone.blocks[0]).attn.heads)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (B, N, 3, H, W) fp32, ImageNet-normalised, to the outputs in the order of `output_names`.

        The views are those of one GPU after :meth:`share`.
        """
        scene = tuple(image.shape[:2])
        features = self.backbone(image)
        depth, confidence = self.head(features.patches)
        found = {
            "reference_view": features.reference_view,
            "depth": depth.unflatten(0, scene),
            "depth_conf": confidence.unflatten(0, scene),
        }
        if self.camera is not None:
            encoding = self.camera(features.camera.unflatten(0, scene))
            found["extrinsics"], found["intrinsics"] = pose_matrices(encoding, *self.shape.size)
        return tuple(found[name] for name in self.output_names)


def build_fused(
    upstream: nn.Module,
    batch: int,
    views: int,
    height: int,
    width: int,
    outputs: Sequence[str] | None,
    policy: PrecisionPolicy,
) -> FusedDA3:
    """The fused network of an upstream network for one input shape; arguments as `build_static` takes them.

    Constants are folded in fp32 and rounded once.

    Raises:
        UsageError: an impossible shape or an output the model does not have.
        UnsupportedError: a policy other than one half precision throughout, or the ray head.
    """
    if policy.quantization is not None or "float32" in (policy.backbone, policy.head):
        raise UnsupportedError(
            f"the fused kernels have no precision {policy.name!r}: use bf16 or fp16, or leave out the target"
        )
    exact = build_static(upstream, batch, views, height, width, outputs, POLICIES["fp32"])
    if not isinstance(exact, StaticDA3) or any(isinstance(part, SwiGlu) for part in exact.modules()):
        raise UnsupportedError("the fused kernels are for any-view networks with GELU blocks: leave out the target")
    with torch.no_grad():
        network = FusedDA3(exact, policy)
    return network.eval().requires_grad_(False)
