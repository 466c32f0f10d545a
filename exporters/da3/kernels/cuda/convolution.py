"""CUDA side of :mod:`depthport.exporters.da3.kernels.convolution`: cuDNN's fused convolution."""

from __future__ import annotations

import torch
from torch import Tensor


def convolution_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The kernel behind :func:`depthport.exporters.da3.kernels.convolution.convolution_relu`."""
    planes = torch.cudnn_convolution_relu(
        x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), bias, (1, 1), (1, 1), (1, 1), 1
    )
    return planes.permute(0, 2, 3, 1).contiguous()
