"""Attention over groups of tokens, in two variants of one kernel: general, and for scores known to be small."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator

LOG2_E = math.log2(math.e)
EXPONENT_LIMIT = 100.0
"""Largest |exponent| for which sums of powers of two neither overflow nor vanish in fp32 or bf16, whose exponents reach
127: it leaves room for 2^20 keys above and for the rounding of the products below."""
EXPONENT_LIMIT_FP16 = 60.0
"""The same for fp16 weights, which are taken relative to another exponent of the row: two of them must fit into fp32."""


@operator(lambda q, *_: q.new_empty(q.shape))
def attention(q: Tensor, k: Tensor, v: Tensor, scale: float, bounded: bool) -> Tensor:  # noqa: ARG001 - the kernel's
    """Values averaged with weights 2 ** (scale · q·k), normalised over the keys of a group.

    Softmax with the usual scale is `scale` = log₂e / √D.

    Args:
        q, k, v: (G, L, heads, D), G groups of L tokens, the last two dimensions contiguous.
        scale: factor of the scores in the exponent; 1 where `bounded`, so that the caller folds it into `q`.
        bounded: the caller knows that |scale · q·k| ≤ :func:`exponent_limit` (:func:`exponent_bound`). Then the running
            maximum that softmax otherwise needs cancels out of the result and is not computed.

    Returns:
        (G, L, heads, D), contiguous, in the dtype of `v`.
    """
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=scale / LOG2_E).transpose(1, 2).contiguous()


def exponent_limit(dtype: torch.dtype) -> float:
    """Largest |exponent| that counts as bounded for operands of `dtype`."""
    return EXPONENT_LIMIT_FP16 if dtype is torch.float16 else EXPONENT_LIMIT


def exponent_bound(q_weight: Tensor, q_bias: Tensor, k_weight: Tensor, k_bias: Tensor, scale: float) -> float:
    """Largest |scale · q·k| that layer-normalised queries and keys can reach, whatever the input.

    A LayerNorm over D channels puts z on a sphere of radius √D at most, and rotation keeps lengths, so by Cauchy and
    Schwarz |q·k| ≤ (√D max|w_q| + ‖b_q‖)(√D max|w_k| + ‖b_k‖).

    Args:
        q_weight, q_bias, k_weight, k_bias: (D,) of the two LayerNorms.
        scale: as in :func:`attention`.
    """
    longest = [
        math.sqrt(weight.numel()) * float(weight.abs().max()) + float(torch.linalg.vector_norm(bias))
        for weight, bias in ((q_weight.double(), q_bias.double()), (k_weight.double(), k_bias.double()))
    ]
    return scale * longest[0] * longest[1]
