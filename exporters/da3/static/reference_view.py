"""Reference-view selection: which of N ≥ 3 views defines the scene's coordinate system.

Source: upstream's `model/reference_view_selector.py`, strategy `saddle_balanced` (its default): the view
whose class token is nearest the middle of the scene in three measures. The view is moved to the front, where
it gets the reference camera token, and back again. (Attention does not see the order of views, so choosing
the token alone would do; but then sums over tokens run in another order and the last bits differ.)

Always fp32, and free of matrix products, which TF32 hardware would round: rounding flips the choice, and with
it every pose.
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
    return view_score(class_tokens, 1.0 / (class_tokens.shape[1] - 1)).argmin(dim=1)


def view_score(class_tokens: Tensor, share: float | Tensor) -> Tensor:
    """(B, N): how far each view is from the middle of its scene in the three measures; `share` is 1 / (N - 1)."""
    norm = class_tokens.norm(dim=-1)
    unit = class_tokens / norm.unsqueeze(-1)
    # The mean cosine to the other views: row sums of the Gram matrix without its diagonal of ones.
    similarity = ((unit * unit.sum(dim=1, keepdim=True)).sum(dim=-1) - 1.0) * share
    variance = unit.var(dim=-1)
    return _off_middle(similarity) + _off_middle(norm) + _off_middle(variance)


def reference_first(reference: Tensor, views: int) -> Tensor:
    """The order that puts each scene's reference view first and leaves the others as they are: 2, 0, 1, 3 for view 2.

    Args:
        reference: (B,) int64.
        views: N.

    Returns:
        (B·N,) int64, indices into the flattened views of all scenes.
    """
    position = torch.arange(views, device=reference.device)
    chosen = reference.unsqueeze(-1)
    shifted = torch.where(position <= chosen, position - 1, position)
    return _flat(torch.where(position == 0, chosen, shifted), views)


def original_order(reference: Tensor, views: int) -> Tensor:
    """The inverse of :func:`reference_first`."""
    position = torch.arange(views, device=reference.device)
    chosen = reference.unsqueeze(-1)
    shifted = torch.where(position < chosen, position + 1, position)
    return _flat(torch.where(position == chosen, 0, shifted), views)


def _flat(order: Tensor, views: int) -> Tensor:
    """(B, N) indices within each scene to (B·N,) indices into all views."""
    scene = torch.arange(order.shape[0], device=order.device).unsqueeze(-1)
    return (order + scene * views).flatten()


def _off_middle(measure: Tensor) -> Tensor:
    """(B, N): distance from 0.5 after scaling each scene's views to [0, 1]."""
    low = measure.amin(dim=1, keepdim=True)
    high = measure.amax(dim=1, keepdim=True)
    return ((measure - low) / (high - low + 1e-8) - 0.5).abs()
