"""Camera decoder: from a view's camera token to its extrinsics and intrinsics, in fp32.

Source: upstream's `model/cam_dec.py`, `model/utils/transform.py` and `affine_inverse` in `utils/geometry.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from depthport.exporters.da3.static.layers import adopt, parameter

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import CameraDecoderParts


class CameraDecoder(nn.Module):
    """Decoder from camera tokens (B, N, C) to the pose encoding (B, N, 9).

    Translation, quaternion xyzw, vertical and horizontal field of view in radians, all of the camera-to-world pose.
    """

    def __init__(self, source: CameraDecoderParts) -> None:
        super().__init__()
        self.hidden1 = adopt(source.backbone[0])
        self.hidden2 = adopt(source.backbone[2])
        # One matrix product for the three heads; only the field of view goes through a ReLU.
        heads = (source.fc_t, source.fc_qvec, source.fc_fov[0])
        self.weight = parameter(torch.cat([head.weight for head in heads]))
        self.bias = parameter(torch.cat([head.bias for head in heads]))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.hidden2(self.hidden1(tokens).relu()).relu()
        encoding = nn.functional.linear(x, self.weight, self.bias)
        return torch.cat((encoding[..., :7], encoding[..., 7:].relu()), dim=-1)


class PoseMatrices(nn.Module):
    """Pose encoding (B, N, 9) to world-to-camera `extrinsics` (B, N, 3, 4) and `intrinsics` (B, N, 3, 3), OpenCV.

    Divisions have tensors on both sides: `constant / x` becomes a reciprocal, which Core ML computes with an epsilon of
    1e-4 (coremltools#2773). Products of 3×3 matrices are sums of products, which TF32 hardware does not round.
    """

    two: Tensor
    half_size: Tensor
    centre: Tensor
    axis_x: Tensor
    axis_y: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        height, width = size
        self.register_buffer("two", torch.tensor(2.0), persistent=False)
        self.register_buffer("half_size", torch.tensor([height / 2, width / 2]), persistent=False)
        centre = torch.tensor([[0.0, 0.0, width / 2], [0.0, 0.0, height / 2], [0.0, 0.0, 1.0]])
        self.register_buffer("centre", centre, persistent=False)
        self.register_buffer("axis_x", torch.diag(torch.tensor([1.0, 0.0, 0.0])), persistent=False)
        self.register_buffer("axis_y", torch.diag(torch.tensor([0.0, 1.0, 0.0])), persistent=False)

    def forward(self, encoding: Tensor) -> tuple[Tensor, Tensor]:
        intrinsics = self._intrinsics(encoding[..., 7:], self.half_size, self.centre)
        return self._extrinsics(encoding[..., :3], encoding[..., 3:7]), intrinsics

    def _extrinsics(self, position: Tensor, quaternion: Tensor) -> Tensor:
        """Inverse of the camera-to-world pose: (Rᵀ, -Rᵀ t) for a rotation R, which need not be normalised."""
        i, j, k, r = quaternion.unbind(dim=-1)
        s = self.two / (quaternion * quaternion).sum(dim=-1)
        transposed = torch.stack(
            (
                1 - s * (j * j + k * k), s * (i * j + k * r), s * (i * k - j * r),
                s * (i * j - k * r), 1 - s * (i * i + k * k), s * (j * k + i * r),
                s * (i * k + j * r), s * (j * k - i * r), 1 - s * (i * i + j * j),
            ),
            dim=-1,
        ).unflatten(-1, (3, 3))  # fmt: skip
        translation = -(transposed * position.unsqueeze(-2)).sum(dim=-1, keepdim=True)
        return torch.cat((transposed, translation), dim=-1)

    def _intrinsics(self, field_of_view: Tensor, half_size: Tensor, centre: Tensor) -> Tensor:
        """Pinhole matrix with the principal point in the middle, from (B, N, 2): vertical, horizontal."""
        focal = half_size / (field_of_view * 0.5).tan().clamp(min=1e-6)
        fy, fx = focal[..., :1, None], focal[..., 1:, None]
        return fx * self.axis_x + fy * self.axis_y + centre
