"""3×3 convolution of an upsampled map without the upsampled map.

Upsampling and convolution are both linear, so they can trade places: first each of the nine taps' matrices is applied
to the small map (one matrix product), then the nine results are upsampled and added, each shifted by its tap. That is
(h·w)/(H·W) of the arithmetic, and the large map with all input channels is never stored. Zero padding is exact: a tap
that falls outside of the large map adds nothing. What precedes the convolution folds into the taps
(:mod:`depthport.exporters.da3.static.folding`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator


def _convolution_like(taps: Tensor, bias: Tensor, height: int, width: int) -> Tensor:
    return taps.new_empty(taps.shape[0], height, width, bias.shape[0])


@operator(_convolution_like)
def upsampled_convolution(taps: Tensor, bias: Tensor, height: int, width: int) -> Tensor:
    """Upsample each tap's response to (height, width), bilinear with corners aligned, and add the nine up.

    Args:
        taps: (V, h, w, 9·O), the responses of tap (0, 0), (0, 1), … (2, 2), each with O channels.
        bias: (O,) fp32, added to the result.
        height, width: of the result, H and W.

    Returns:
        (V, H, W, O) in the dtype of `taps`; computed in fp32 and rounded once.
    """
    return (_gather(taps, bias.shape[0], height, width) + bias).to(taps.dtype)


def _depth_like(taps: Tensor, _bias: Tensor, rows: Tensor, columns: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    shape = (taps.shape[0], rows.shape[1], columns.shape[1])
    return taps.new_empty(shape, dtype=torch.float32), taps.new_empty(shape, dtype=torch.float32)


@operator(_depth_like)
def upsampled_depth(
    taps: Tensor, bias: Tensor, rows: Tensor, columns: Tensor, weight: Tensor, weight_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """The last of the head: :func:`upsampled_convolution`, ReLU, 1×1 convolution to two logits, exponential.

    Args:
        taps, bias: as :func:`upsampled_convolution` takes them.
        rows, columns: (3, H, O) and (3, W, O) fp32, the convolution's response to a constant map that is to be added
            to the large one (:func:`depthport.exporters.da3.static.folding.constant_response`).
        weight, weight_bias: (2, O) and (2,) fp32 of the 1×1 convolution.

    Returns:
        exp(logit 0) and exp(logit 1) + 1, depth and confidence, each (V, H, W) fp32.
    """
    height, width = rows.shape[1], columns.shape[1]
    x = _gather(taps, bias.shape[0], height, width) + bias
    x = x + torch.einsum("yh,ywo->hwo", inside(height, x), columns)
    x = x + torch.einsum("xw,xho->hwo", inside(width, x), rows)
    logits = x.relu() @ weight.T + weight_bias
    return logits[..., 0].exp().contiguous(), (logits[..., 1].exp() + 1.0).contiguous()


def _gather(taps: Tensor, outputs: int, height: int, width: int) -> Tensor:
    """(V, h, w, 9·O) to the sum (V, H, W, O) fp32 of upsampled and shifted taps."""
    raised = F.interpolate(taps.float().permute(0, 3, 1, 2), size=(height, width), mode="bilinear", align_corners=True)
    padded = F.pad(raised, (1, 1, 1, 1)).unflatten(1, (9, outputs))
    shifted = (padded[:, 3 * y + x, :, y : y + height, x : x + width] for y in range(3) for x in range(3))
    return sum(shifted, torch.zeros(())).permute(0, 2, 3, 1)


def inside(length: int, like: Tensor) -> Tensor:
    """(3, length): 1 where the tap at offset -1, 0, +1 of a sample lies within the map, else 0."""
    position = torch.arange(length, device=like.device) + torch.tensor([[-1], [0], [1]], device=like.device)
    return ((position >= 0) & (position < length)).to(like.dtype)
