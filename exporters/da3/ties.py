"""Ties of upstream's reference view: where rounding decides which view defines the scene's coordinates.

Of equal views (one photograph twice, black pictures, a camera that stands still) the score's minimum is decided by the
last bit, so that upstream on another machine, or with another number of threads, chooses another one and puts every pose
into another frame. All choices are upstream's own answer: an artifact is compared with the one that it made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from depthport.exporters.da3.static.reference_view import MIN_VIEWS, view_score

ROUNDING = 1e-5
"""Relative error of class tokens in fp32 after a third of the network, generously; a clear choice has a margin of 1e-2."""
_DRAWS = 64
_SEED = 0


def tied_views(class_tokens: Tensor) -> Tensor:
    """Return which views rounding may make the reference view, (B, N) bool: those chosen for tokens with some noise.

    Args:
        class_tokens: (B, N, C), N ≥ 3.
    """
    tokens = class_tokens.detach().to("cpu", torch.float64)
    batch, views, _ = tokens.shape
    generator = torch.Generator().manual_seed(_SEED)
    tied = torch.zeros(batch, views, dtype=torch.bool)
    for draw in range(_DRAWS):
        noise = torch.randn(tokens.shape, generator=generator, dtype=torch.float64)
        noisy = tokens if draw == 0 else tokens * (1 + ROUNDING * noise)
        tied[torch.arange(batch), view_score(noisy, 1.0 / (views - 1)).argmin(dim=1)] = True
    return tied


@contextmanager
def recorded_ties() -> Iterator[list[Tensor]]:
    """While in the context, append :func:`tied_views` of each of upstream's selections to the list."""
    found: list[Tensor] = []

    def record(original: Callable[..., Tensor], tokens: Tensor, *args: object, **kwargs: object) -> Tensor:
        if tokens.shape[1] >= MIN_VIEWS:
            found.append(tied_views(tokens[:, :, 0]))
        return original(tokens, *args, **kwargs)

    with _selection(record):
        yield found


@contextmanager
def forced_choice(views: Tensor) -> Iterator[None]:
    """While in the context, upstream takes `views` (B,) int64 for its reference views."""

    def force(_original: Callable[..., Tensor], tokens: Tensor, *_args: object, **_kwargs: object) -> Tensor:
        return views.to(tokens.device)

    with _selection(force):
        yield


def other_choices(tied: Tensor, chosen: Tensor, most: int) -> list[Tensor]:
    """Reference views (B,) that together make every choice of a tie but the `chosen` one, at most `most` of them.

    Args:
        tied: (B, N) bool.
        chosen: (B,) int64, what upstream chose.
    """
    others = [
        [int(view) for view in row.nonzero().flatten() if view != own]
        for row, own in zip(tied, chosen.cpu(), strict=True)
    ]  # fmt: skip
    count = min(most, max(map(len, others)))
    own = chosen.tolist()
    return [torch.tensor([(row[k] if k < len(row) else own[b]) for b, row in enumerate(others)]) for k in range(count)]


@contextmanager
def _selection(wrapper: Callable[..., Tensor]) -> Iterator[None]:
    from depth_anything_3.model.dinov2 import vision_transformer

    original = vision_transformer.select_reference_view
    vision_transformer.select_reference_view = lambda *args, **kwargs: wrapper(original, *args, **kwargs)
    try:
        yield
    finally:
        vision_transformer.select_reference_view = original
