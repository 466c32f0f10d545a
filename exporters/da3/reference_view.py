"""Reference-view selection: which of N ≥ 3 views defines the scene's coordinate system.

Source: upstream's `model/reference_view_selector.py`, strategy `saddle_balanced` (its default), which takes the view
whose class token is nearest the middle of the scene in three measures. Upstream then moves that view to the front and
back again. Both attention patterns are indifferent to the order of views (every view has the same rotary positions), so
the only effect is which view gets the reference camera token: here the views stay in place and the token is chosen.

Always fp32 and free of matrix products, which TF32 hardware would round: rounding flips the choice, and with it every
pose.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_VIEWS = 3
"""Fewest views among which one is chosen (upstream's THRESH_FOR_REF_SELECTION); below, it is view 0."""


def select_reference_view(class_tokens: Tensor) -> Tensor:
    """The reference view of each scene.

    Args:
        class_tokens: (B, N, C) fp32, N ≥ 2.

    Returns:
        (B,) int64, the first view with the lowest score.
    """
    norm = class_tokens.norm(dim=-1)
    unit = class_tokens / norm.unsqueeze(-1)
    # The mean cosine to the other views: row sums of the Gram matrix without its diagonal of ones.
    similarity = ((unit * unit.sum(dim=1, keepdim=True)).sum(dim=-1) - 1.0) * (1.0 / (class_tokens.shape[1] - 1))
    variance = unit.var(dim=-1)
    score = _off_middle(similarity) + _off_middle(norm) + _off_middle(variance)
    return score.argmin(dim=1)


def camera_tokens(tokens: Tensor, reference: Tensor, views: int) -> Tensor:
    """The learned camera token of each view.

    Args:
        tokens: (1, 2, C), the token of the reference view and that of all others.
        reference: (B,) int64.
        views: N.

    Returns:
        (B, N, C).
    """
    index = torch.arange(views, device=reference.device)
    is_reference = (index == reference.unsqueeze(-1)).unsqueeze(-1)
    return torch.where(is_reference, tokens[:, :1], tokens[:, 1:])


def _off_middle(measure: Tensor) -> Tensor:
    """(B, N): distance from 0.5 after scaling each scene's views to [0, 1]."""
    low = measure.amin(dim=1, keepdim=True)
    high = measure.amax(dim=1, keepdim=True)
    return ((measure - low) / (high - low + 1e-8) - 0.5).abs()
