"""The camera decoder's last step, some forty operations on a few numbers each, as one operator."""

from __future__ import annotations

import torch
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator
from depthport.exporters.da3.static.camera import PoseMatrices


def _matrices(encoding: Tensor, *_: int) -> tuple[Tensor, Tensor]:
    scene = encoding.shape[:2]
    return encoding.new_empty(*scene, 3, 4), encoding.new_empty(*scene, 3, 3)


@operator(_matrices)
def pose_matrices(encoding: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """World-to-camera `extrinsics` (B, N, 3, 4) and `intrinsics` (B, N, 3, 3) of pose encodings (B, N, 9), fp32.

    As :class:`depthport.exporters.da3.static.camera.PoseMatrices`, for images of `height` × `width` pixels.
    """
    extrinsics, intrinsics = PoseMatrices((height, width)).to(encoding.device)(encoding)
    return torch.clone(extrinsics), torch.clone(intrinsics)
