"""3×3 convolution with bias and ReLU in its epilogue."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator


@operator(lambda x, weight, _bias: x.new_empty(*x.shape[:3], weight.shape[0]))
def convolution_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """ReLU of a 3×3 convolution of stride 1 and padding 1.

    Args:
        x: (V, H, W, C).
        weight: (O, 3, 3, C) and bias (O,), in the dtype of `x`.

    Returns:
        (V, H, W, O), contiguous.
    """
    planes = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), bias, padding=1)
    return planes.relu().permute(0, 2, 3, 1).contiguous()
