"""Rewrites before lowering compute what they replace."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from depthport.exporters.executorch import backends  # noqa: E402
from depthport.exporters.executorch.backends import plain_attention  # noqa: E402


@pytest.mark.parametrize("scale", [None, 0.3])
def test_plain_attention_is_attention(scale: float | None) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 6, 10, 16).unbind(0)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)
    torch.testing.assert_close(plain_attention(query, key, value, scale=scale), expected)


@pytest.mark.parametrize("more", [{"causal": True}, {"dropout": 0.1}, {"enable_gqa": True}, {"mask": 0}])
def test_what_it_is_not_written_for_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not written out"):
        plain_attention(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), **more)


def test_convolutions_of_a_batch_are_those_of_its_images() -> None:
    torch.manual_seed(0)
    images, weight, bias = torch.randn(3, 4, 9, 11), torch.randn(6, 4, 3, 3), torch.randn(6)
    torch.testing.assert_close(
        backends.convolution_by_image(images, weight, bias, [2, 1], [1, 1]),
        torch.nn.functional.conv2d(images, weight, bias, (2, 1), (1, 1)),
    )
    torch.testing.assert_close(
        backends.transposed_by_image(images, weight.transpose(0, 1), bias, [2, 2], [1, 1], [1, 0]),
        torch.nn.functional.conv_transpose2d(images, weight.transpose(0, 1), bias, (2, 2), (1, 1), (1, 0)),
    )


def test_a_tangent_is_a_sine_over_a_cosine() -> None:
    angles = torch.linspace(0.01, 1.4, 50)
    torch.testing.assert_close(backends.tangent(angles), angles.tan())
