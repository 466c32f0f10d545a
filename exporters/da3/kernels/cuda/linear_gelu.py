"""CUDA side of :mod:`depthport.exporters.da3.kernels.linear_gelu`.

The kernel is a library's, with cuBLASLt's epilogue.
"""

from __future__ import annotations

import torch
from torch import Tensor


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The kernel behind :func:`depthport.exporters.da3.kernels.linear_gelu.linear_gelu`."""
    out = torch._addmm_activation(bias, x.flatten(0, -2), weight.t(), use_gelu=True)
    result: Tensor = out.unflatten(0, x.shape[:-1])
    return result
