"""Adding feature maps of two resolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator


@operator(lambda x, *_: (torch.empty_like(x), torch.empty_like(x)))
def merge_maps(x: Tensor, skip: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """X + skip + the coarser map upsampled to their size, and the ReLU of that.

    Args:
        x, skip: (V, H, W, C), contiguous.
        coarse: (V, h, w, C), upsampled bilinearly with corners aligned.

    Returns:
        The sum and its ReLU, each (V, H, W, C) in the dtype of `x`; added in fp32 and rounded once.
    """
    planes = coarse.float().permute(0, 3, 1, 2)
    raised = F.interpolate(planes, size=x.shape[1:3], mode="bilinear", align_corners=True)
    total = (x.float() + skip.float() + raised.permute(0, 2, 3, 1)).to(x.dtype)
    return total.contiguous(), total.relu().contiguous()
