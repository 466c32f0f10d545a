"""Reference-view selection as one operator."""

from __future__ import annotations

import torch
from torch import Tensor

from exporters.da3 import reference_view
from exporters.da3.kernels.op import operator


@operator(lambda tokens: tokens.new_empty(tokens.shape[0], dtype=torch.int64))
def select_reference_view(class_tokens: Tensor) -> Tensor:
    """The reference view (B,) int64 of class tokens (B, N, C) fp32.

    As :func:`exporters.da3.reference_view.select_reference_view`.
    """
    return reference_view.select_reference_view(class_tokens)
