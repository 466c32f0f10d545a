"""Small inputs of every operator in `depthport.exporters.da3.kernels`, for comparing its definition with its kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from depthport.exporters.da3.kernels.attention import LOG2_E
from depthport.exporters.da3.static.rope import local_table

Arguments = tuple[Any, ...]


def _tensor(generator: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=generator).to(dtype)


def residual_norm(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    x, weight, bias = _tensor(make, 2, 5, 96), _tensor(make, 96), _tensor(make, 96)
    return x, *_branch(make, dtype), *_branch(make, dtype), weight, bias, 1e-6


def branch_norm(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    return _tensor(make, 2, 5, 96), *_branch(make, dtype), _tensor(make, 96), _tensor(make, 96), 1e-6


def _branch(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    """A branch and its scale. 96 channels: not a power of two."""
    return _tensor(make, 2, 5, 96, dtype=dtype), _tensor(make, 96)


def feature_norm(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    local, x = _tensor(make, 2, 5, 96), _tensor(make, 2, 5, 96)
    inner, head = (_tensor(make, 96), _tensor(make, 96), 1e-6), (_tensor(make, 192), _tensor(make, 192), 1e-5)
    return local, x, *_branch(make, dtype), *_branch(make, dtype), *inner, *head, torch.float16


def qk_norm_rope(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Three heads: not a power of two."""
    table = local_table((2, 3), 64, 100.0)
    norms = tuple(_tensor(make, 64) for _ in range(4))
    return _tensor(make, 2, 7, 3 * 3 * 64, dtype=dtype), 3, *norms, 1e-5, table.cos, table.sin, 0.18


def qkv_by_card(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Six heads for three cards."""
    table = local_table((2, 3), 64, 100.0)
    norms = tuple(_tensor(make, 64) for _ in range(4))
    return _tensor(make, 2, 7, 3 * 6 * 64, dtype=dtype), 6, 3, *norms, 1e-5, table.cos, table.sin, 0.18


def _attention(make: torch.Generator, dtype: torch.dtype, length: int, bounded: bool) -> Arguments:
    qkv = _tensor(make, 2, length, 3, 2, 64, dtype=dtype)
    q, k, v = qkv.unbind(2)
    scale = LOG2_E / math.sqrt(64)
    return (q * scale, k, v, 1.0, True) if bounded else (q, k, v, scale, False)


def attention(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Several blocks of keys, the last one partly filled."""
    return _attention(make, dtype, 300, bounded=False)


def attention_bounded(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    return _attention(make, dtype, 300, bounded=True)


def attention_short(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Fewer keys than a block."""
    return _attention(make, dtype, 37, bounded=True)


def _peaks(make: torch.Generator, dtype: torch.dtype, bounded: bool) -> Arguments:
    """Later keys score far above the first: weights reach 2**40 unless they are taken relative to another."""
    q, k, v, scale, _ = _attention(make, dtype, 300, bounded)
    k = k.clone()
    k[:, 200:204] *= 9.0
    return q, k, v, scale, bounded


def attention_peaks(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    return _peaks(make, dtype, bounded=False)


def attention_peaks_bounded(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    return _peaks(make, dtype, bounded=True)


def merge_maps(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    return tuple(_tensor(make, *shape, dtype=dtype) for shape in ((2, 7, 9, 24), (2, 7, 9, 24), (2, 4, 5, 24)))


def upsampled_convolution(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    return _tensor(make, 2, 4, 5, 9 * 24, dtype=dtype), _tensor(make, 24), 7, 10


def upsampled_convolution_wide(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Several runs of samples a row."""
    return _tensor(make, 1, 3, 23, 9 * 16, dtype=dtype), _tensor(make, 16), 5, 71


def upsampled_depth(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    taps, bias = _tensor(make, 2, 4, 5, 9 * 24, dtype=dtype), _tensor(make, 24)
    return taps, bias, _tensor(make, 3, 7, 24), _tensor(make, 3, 10, 24), 0.1 * _tensor(make, 2, 24), _tensor(make, 2)


def linear_gelu(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    return _tensor(make, 3, 7, 32, dtype=dtype), _tensor(make, 48, 32, dtype=dtype), _tensor(make, 48, dtype=dtype)


def convolution_relu(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    x, weight = _tensor(make, 2, 5, 7, 16, dtype=dtype), _tensor(make, 16, 3, 3, 16, dtype=dtype)
    return x, weight, _tensor(make, 16, dtype=dtype)


def select_reference_view(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Tokens of 5 views, as a slice of (V, T, C)."""
    return (_tensor(make, 10, 3, 96)[:, 0].unflatten(0, (2, 5)),)


def pose_matrices(make: torch.Generator, dtype: torch.dtype) -> Arguments:
    encoding = _tensor(make, 2, 3, 9)
    encoding[..., 7:] = encoding[..., 7:].abs().clamp(0.2, 1.5)
    return encoding, 70, 98


Case = Callable[[torch.Generator, torch.dtype], Arguments]

CASES: dict[str, tuple[str, Case]] = {
    case.__name__: (operator, case)
    for operator, case in (
        ("branch_norm", branch_norm),
        ("residual_norm", residual_norm),
        ("feature_norm", feature_norm),
        ("qk_norm_rope", qk_norm_rope),
        ("qkv_by_card", qkv_by_card),
        ("attention", attention),
        ("attention", attention_bounded),
        ("attention", attention_short),
        ("attention", attention_peaks),
        ("attention", attention_peaks_bounded),
        ("merge_maps", merge_maps),
        ("upsampled_convolution", upsampled_convolution),
        ("upsampled_convolution", upsampled_convolution_wide),
        ("upsampled_depth", upsampled_depth),
        ("linear_gelu", linear_gelu),
        ("convolution_relu", convolution_relu),
        ("select_reference_view", select_reference_view),
        ("pose_matrices", pose_matrices),
    )
}
"""Case by name: the operator, and its arguments in a dtype."""

LIBRARY = ("linear_gelu", "convolution_relu")
"""Operators whose CUDA side is a library's kernel: nothing of ours to interpret."""


def relative_error(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖ in fp64; infinite where a value is not finite."""
    if not bool(torch.isfinite(found).all()):
        return math.inf
    difference = torch.linalg.vector_norm(found.double() - expected.double())
    return float(difference / torch.linalg.vector_norm(expected.double()))


def outputs(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)
