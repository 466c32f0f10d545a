"""Names used from upstream's modules.

Its classes are imported only where a network is built, and PyTorch's own types know no submodule's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn
    from typing_extensions import TypeIs


class AttentionParts(Protocol):
    """`model/dinov2/layers/attention.py`."""

    num_heads: int
    qkv: nn.Linear
    proj: nn.Linear
    q_norm: nn.LayerNorm | nn.Identity
    k_norm: nn.LayerNorm | nn.Identity


class MlpParts(Protocol):
    """`model/dinov2/layers/mlp.py`."""

    fc1: nn.Linear
    fc2: nn.Linear


class SwiGluParts(Protocol):
    """`model/dinov2/layers/swiglu_ffn.py`."""

    w12: nn.Linear
    w3: nn.Linear


def is_mlp(parts: MlpParts | SwiGluParts) -> TypeIs[MlpParts]:
    """Return which of the two it is.

    Not by `isinstance`: a protocol's check sees what `nn.Module` finds in `__getattr__` up to Python 3.11, and from 3.12
    on no longer.
    """
    return hasattr(parts, "fc1")


class ScaleParts(Protocol):
    """`model/dinov2/layers/layer_scale.py`."""

    gamma: Tensor


class BlockParts(Protocol):
    """`model/dinov2/layers/block.py`."""

    norm1: nn.LayerNorm
    attn: AttentionParts
    ls1: ScaleParts
    norm2: nn.LayerNorm
    mlp: MlpParts | SwiGluParts
    ls2: ScaleParts


class PatchParts(Protocol):
    """`model/dinov2/layers/patch_embed.py`."""

    proj: nn.Conv2d


class RopeParts(Protocol):
    """`model/dinov2/layers/rope.py`."""

    base_frequency: float


class BackboneParts(Protocol):
    """`model/dinov2/vision_transformer.py`."""

    patch_embed: PatchParts
    cls_token: Tensor
    camera_token: Tensor
    pos_embed: Tensor
    interpolate_offset: float
    blocks: Sequence[BlockParts]
    norm: nn.LayerNorm
    rope: RopeParts
    alt_start: int
    rope_start: int
    embed_dim: int
    num_heads: int

    def interpolate_pos_encoding(self, x: Tensor, w: int, h: int) -> Tensor: ...


class DinoParts(Protocol):
    """`model/dinov2/dinov2.py`."""

    pretrained: BackboneParts
    out_layers: list[int]


class ResidualParts(Protocol):
    """`ResidualConvUnit` of `model/dpt.py`."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d


class FusionParts(Protocol):
    """`FeatureFusionBlock` of `model/dpt.py`."""

    resConfUnit1: ResidualParts  # noqa: N815
    resConfUnit2: ResidualParts  # noqa: N815
    has_residual: bool
    out_conv: nn.Conv2d


class ConvolutionsParts(Protocol):
    """A Sequential that begins and ends with a convolution."""

    def __getitem__(self, index: int) -> nn.Conv2d: ...

    def __iter__(self) -> Iterator[nn.Module]: ...


class ScratchParts(Protocol):
    """`scratch` of either head; it has `layer{1..4}_rn` and `refinenet{1..4}{,_aux}` besides."""

    output_conv1: nn.Conv2d
    output_conv2: ConvolutionsParts
    output_conv1_aux: Sequence[nn.Sequential]
    output_conv2_aux: Sequence[ConvolutionsParts]
    sky_output_conv2: ConvolutionsParts


class HeadParts(Protocol):
    """`model/dualdpt.py` and `model/dpt.py`."""

    norm: nn.LayerNorm
    projects: Sequence[nn.Conv2d]
    resize_layers: Sequence[nn.Module]
    scratch: ScratchParts


class CameraDecoderParts(Protocol):
    """`model/cam_dec.py`."""

    backbone: Sequence[nn.Linear]
    fc_t: nn.Linear
    fc_qvec: nn.Linear
    fc_fov: Sequence[nn.Linear]


class CameraEncoderParts(Protocol):
    """`model/cam_enc.py`."""

    pose_branch: MlpParts
    token_norm: nn.LayerNorm
    trunk: Sequence[BlockParts]
    trunk_norm: nn.LayerNorm


class NetworkParts(Protocol):
    """`model/da3.py`; monocular networks have neither `cam_dec` nor `cam_enc`."""

    backbone: DinoParts
    head: HeadParts
    cam_dec: CameraDecoderParts
    cam_enc: CameraEncoderParts


class NestedParts(Protocol):
    """`NestedDepthAnything3Net` of `model/da3.py`."""

    da3: NetworkParts
    da3_metric: NetworkParts
