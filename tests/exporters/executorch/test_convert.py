"""Rewrites before lowering compute what they replace."""

from __future__ import annotations

from typing import Any

import pytest

from depthport.exporters.executorch.convert import plain_attention

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("scale", [None, 0.3])
def test_plain_attention_is_attention(scale: float | None) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 6, 10, 16).unbind(0)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)
    torch.testing.assert_close(plain_attention(query, key, value, scale=scale), expected)


@pytest.mark.parametrize("more", [{"causal": True}, {"dropout": 0.1}, {"enable_gqa": True}, {"mask": 0}])
def test_what_it_is_not_written_for_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not written out"):
        plain_attention(None, None, None, **more)
