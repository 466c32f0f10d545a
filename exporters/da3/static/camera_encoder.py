"""Camera encoder: from known poses to the tokens that tell the backbone about them, in fp32.

Source: upstream's `model/cam_enc.py` and `model/utils/transform.py` (`extri_intri_to_pose_encoding`, `mat_to_quat`).
Upstream turns autocast off around it (`da3.py`), so it is fp32 in every policy. What happens before it, making the poses
relative to the first view and to the scene's size, upstream does on the host:
:func:`depthport.exporters.inputs.poses.normalise_extrinsics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from depthport.exporters.da3.static.blocks import Block
from depthport.exporters.da3.static.layers import Norm, adopt

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import CameraEncoderParts

# Rows of quaternion candidates are (r, i, j, k); the encoding has (i, j, k, r).
_SCALAR_LAST = (1, 2, 3, 0)
_SMALLEST_DIVISOR = 0.1


class CameraEncoder(nn.Module):
    """Poses of the views of a scene to the camera token of each; the views attend to each other."""

    def __init__(self, source: CameraEncoderParts) -> None:
        super().__init__()
        self.encoding = PoseEncoding()
        self.hidden = adopt(source.pose_branch.fc1)
        self.embed = adopt(source.pose_branch.fc2)
        self.token_norm = Norm(source.token_norm)
        self.trunk = nn.ModuleList(Block(block, torch.float32) for block in source.trunk)
        self.trunk_norm = Norm(source.trunk_norm)

    def forward(self, extrinsics: Tensor, intrinsics: Tensor, half_size: Tensor) -> Tensor:
        """Encode.

        Args:
            extrinsics: (B, N, 4, 4) fp32, world to camera, normalised (:mod:`depthport.exporters.inputs.poses`).
            intrinsics: (B, N, 3, 3) fp32, in pixels of the image.
            half_size: (2,) fp32: H / 2, W / 2.

        Returns:
            (B, N, C) fp32.
        """
        x = self.encoding(extrinsics, intrinsics, half_size)
        x = self.token_norm(self.embed(nn.functional.gelu(self.hidden(x))))
        for block in self.trunk:
            x = block(x, x.shape[0], None)
        out: Tensor = self.trunk_norm(x)
        return out


class PoseEncoding(nn.Module):
    """Encoding of poses as (B, N, 9).

    Camera centre, quaternion xyzw of the camera-to-world rotation with its real part at or above zero, vertical and
    horizontal field of view in radians.

    The inverse of the camera decoder's :class:`~depthport.exporters.da3.static.camera.PoseMatrices`; divisions have
    tensors on both sides for the reason given there.
    """

    one: Tensor
    smallest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("one", torch.tensor(1.0), persistent=False)
        self.register_buffer("smallest", torch.tensor(_SMALLEST_DIVISOR), persistent=False)

    def forward(self, extrinsics: Tensor, intrinsics: Tensor, half_size: Tensor) -> Tensor:
        rotation = extrinsics[..., :3, :3].transpose(-1, -2)
        centre = -(rotation * extrinsics[..., None, :3, 3]).sum(dim=-1)
        focal = torch.stack((intrinsics[..., 1, 1], intrinsics[..., 0, 0]), dim=-1)
        # Upstream divides a number by a tensor, which PyTorch computes as a reciprocal and a product.
        field_of_view = (self.one / focal * half_size).atan() * 2
        return torch.cat((centre, self._quaternion(rotation), field_of_view), dim=-1)

    def _quaternion(self, rotation: Tensor) -> Tensor:
        """The candidate with the largest divisor, of four that are equal in exact arithmetic."""
        m00, m01, m02, m10, m11, m12, m20, m21, m22 = rotation.flatten(-2).unbind(dim=-1)
        squares = torch.stack((1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22), dim=-1)
        sizes = squares.clamp(min=0).sqrt()
        r, i, j, k = (sizes * sizes).unbind(dim=-1)
        candidates = torch.stack(
            (
                r, m21 - m12, m02 - m20, m10 - m01,
                m21 - m12, i, m10 + m01, m02 + m20,
                m02 - m20, m10 + m01, j, m12 + m21,
                m10 - m01, m20 + m02, m21 + m12, k,
            ),
            dim=-1,
        ).unflatten(-1, (4, 4))  # fmt: skip
        candidates = candidates / (2 * sizes.maximum(self.smallest)).unsqueeze(-1)
        best = sizes.argmax(dim=-1)[..., None, None].expand(*sizes.shape[:-1], 1, 4)
        quaternion = candidates.gather(-2, best).squeeze(-2)
        quaternion = torch.stack([quaternion[..., index] for index in _SCALAR_LAST], dim=-1)
        return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
