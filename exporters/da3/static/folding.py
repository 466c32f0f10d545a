"""Constants worked out ahead: linear layers that follow each other become one.

Everything here is exact in real arithmetic and is evaluated in fp64 on fp32 parameters, so that a product is rounded
once, to the dtype it is used in.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def tap_matrices(convolution: Tensor) -> Tensor:
    """The nine taps of a 3×3 convolution (O, C, 3, 3) as one matrix (9·O, C), tap (0, 0) first, then (0, 1)."""
    return convolution.permute(2, 3, 0, 1).reshape(-1, convolution.shape[1])


def fold_pointwise(matrix: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """`matrix` (R, C) applied after a 1×1 convolution `weight` (C, I, 1, 1) with `bias` (C,): (R, I) and (R,) fp32."""
    wide = matrix.double()
    return (wide @ weight.flatten(1).double()).float(), (wide @ bias.double()).float()


def constant_response(convolution: Tensor, by_row: Tensor, by_column: Tensor) -> tuple[Tensor, Tensor]:
    """Return the response of a zero-padded 3×3 convolution to a constant map that is the sum of a row and a column part.

    The part by column gives the same response in every row, except that a tap row outside of the map gives none: so
    the response is kept by tap row, (3, W, O), and a row adds up those of its tap rows that lie inside; likewise the
    part by row by tap column.

    :func:`depthport.exporters.da3.kernels.upsampled_depth` adds them up again.

    Args:
        convolution: (O, C, 3, 3).
        by_row: (C, H), what is added to every sample of a row.
        by_column: (C, W), what is added to every sample of a column.

    Returns:
        By tap column (3, H, O) and by tap row (3, W, O), fp32.
    """
    taps = convolution.double()
    row_windows = F.pad(by_row.double(), (1, 1)).unfold(1, 3, 1)
    column_windows = F.pad(by_column.double(), (1, 1)).unfold(1, 3, 1)
    rows = torch.einsum("ocyx,chy->xho", taps, row_windows)
    columns = torch.einsum("ocyx,cwx->ywo", taps, column_windows)
    return rows.float().contiguous(), columns.float().contiguous()
