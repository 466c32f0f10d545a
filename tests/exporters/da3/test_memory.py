"""What the fused backbone holds at once over many views is what it needs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.core.precision import POLICIES  # noqa: E402
from depthport.exporters.da3.build import named_upstream  # noqa: E402
from depthport.exporters.da3.fused.network import build_fused  # noqa: E402
from tests.support.fused.live_bytes import peak_bytes  # noqa: E402


def test_the_fused_backbone_keeps_nothing_beyond_its_use() -> None:
    """In units of one activation in 16 bits: three features of the head (2 each), the stream in 32 bits (2), one branch,
    and the MLP's hidden layer with its result (5)."""
    views, size = 24, (196, 196)
    upstream = named_upstream("da3-small", "synthetic:0")
    network = build_fused(upstream, 1, views, *size, None, POLICIES["bf16-fp16"])
    image = views * 3 * size[0] * size[1] * 4
    activation = views * network.shape.tokens * 384 * 2
    assert peak_bytes(network.backbone, (1, views, 3, *size)) - image < (6 + 2 + 1 + 5 + 0.5) * activation
