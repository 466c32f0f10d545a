"""Upstream networks with synthetic weights, made once a session, and scenes to feed them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import pytest

Build = Callable[..., Any]


@pytest.fixture(scope="session")
def upstream() -> Iterator[Build]:
    """`upstream(model="da3-small", weights="synthetic:0")`: upstream's network."""
    pytest.importorskip("torch")
    pytest.importorskip("depth_anything_3")
    from depthport.exporters.da3.build import named_upstream

    @lru_cache(maxsize=4)
    def build(model: str = "da3-small", weights: str = "synthetic:0") -> Any:
        return named_upstream(model, weights)

    yield build
    build.cache_clear()


@pytest.fixture(scope="session")
def scene() -> Build:
    """`scene(batch, views, height, width, kind="photo", seed=0)`: a normalised image tensor (B, N, 3, H, W)."""
    torch = pytest.importorskip("torch")

    def make(batch: int, views: int, height: int, width: int, kind: str = "photo", seed: int = 0) -> Any:
        generator = torch.Generator().manual_seed(seed)
        shape = (batch * views, 3, height, width)
        if kind == "noise":
            return torch.randn(shape, generator=generator).unflatten(0, (batch, views))
        # Smooth regions, edges and a little grain; the views of a scene share most of it.
        coarse = torch.randn((batch, 3, 6, 9), generator=generator).repeat_interleave(views, dim=0)
        coarse = coarse + 0.3 * torch.randn((batch * views, 3, 6, 9), generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
        edges = torch.sign(smooth[:, :1])
        grain = torch.randn(shape, generator=generator)
        return (smooth + 0.5 * edges + 0.05 * grain).unflatten(0, (batch, views))

    return make
