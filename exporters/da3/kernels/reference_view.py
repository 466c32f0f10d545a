"""Reference-view selection as one operator."""

from __future__ import annotations

import torch
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator
from depthport.exporters.da3.static import reference_view


@operator(lambda tokens: tokens.new_empty(tokens.shape[0], dtype=torch.int64))
def select_reference_view(class_tokens: Tensor) -> Tensor:
    """The reference view (B,) int64 of class tokens (B, N, C) fp32.

    As :func:`depthport.exporters.da3.static.reference_view.select_reference_view`.
    """
    return reference_view.select_reference_view(class_tokens)
