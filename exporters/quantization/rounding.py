"""Rounding to 8 bits, in numpy: scales, weights by GPTQ, activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

WEIGHT_LIMIT = 127
"""Weights are symmetric: -127 to 127."""
DAMPING = 0.01
"""Share of the mean diagonal that is added to a Hessian's, as GPTQ does: directions no photograph excited."""
_BLOCK = 128


@dataclass(frozen=True)
class ActivationGrid:
    """value = (code - zero) · scale."""

    scale: float
    zero: int
    signed: bool
    """int8 with zero 0, which TensorRT asks for; else uint8, whose zero may lie anywhere."""

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest code."""
        return (-128, 127) if self.signed else (0, 255)


def activation_grid(low: float, high: float, signed: bool) -> ActivationGrid:
    """The grid that covers [low, high] and 0 exactly; a range of one point gets scale 1."""
    low, high = min(low, 0.0), max(high, 0.0)
    if signed:
        return ActivationGrid(max(-low, high) / 127 or 1.0, 0, True)
    scale = (high - low) / 255 or 1.0
    return ActivationGrid(scale, min(255, max(0, round(-low / scale))), False)


def column_scales(weight: Array) -> Array:
    """(N,) fp32 scales of a weight (K, N): each column's largest magnitude becomes 127; 1 for a column of zeros."""
    largest = np.abs(weight).max(axis=0)
    return np.where(largest > 0, largest / WEIGHT_LIMIT, 1.0).astype(np.float32)


def round_gptq(weight: Array, hessian: Array) -> tuple[Array, Array]:
    """int8 codes (K, N) and fp32 scales (N,) of a weight (K, N), rounded as :func:`compensate` does."""
    scales = column_scales(weight)

    def nearest(row: Array) -> Array:
        found: Array = np.clip(np.rint(row / scales), -WEIGHT_LIMIT, WEIGHT_LIMIT) * scales
        return found

    return np.rint(compensate(weight, hessian, nearest) / scales).astype(np.int8), scales


def compensate(weight: Array, hessian: Array, nearest: Callable[[Array], Array]) -> Array:
    """A weight on a grid, chosen to keep its products with the inputs it will meet (GPTQ).

    Row after row (input channel after input channel) is rounded, and what that changes in the outputs is made good as
    far as possible in the rows not yet rounded.

    Args:
        weight: (K, N), y = x · weight.
        hessian: (K, K), Σ xᵀx over the inputs; only its shape up to a factor matters, and of zeros every entry is
            rounded on its own.
        nearest: the grid: a row (N,) to its nearest values on it.

    Returns:
        (K, N) fp32, every row on the grid.
    """
    inner = weight.shape[0]
    damped = hessian.astype(np.float64)
    mean = float(np.trace(damped)) / inner
    if mean <= 0:
        return np.stack([nearest(row) for row in weight.astype(np.float32)])
    damped[np.diag_indices(inner)] += DAMPING * mean
    # Upper Cholesky factor of the inverse: its row k holds how an error in input k is spread over the inputs after it.
    # It is the inverse of the upper factor U of damped = U Uᵀ, which is damped's lower one seen from the other end.
    factor = _upper_inverse(np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]).astype(np.float32)
    rest = weight.astype(np.float32)
    rounded = np.empty_like(rest)
    for start in range(0, inner, _BLOCK):
        stop = min(start + _BLOCK, inner)
        errors = np.empty((stop - start, weight.shape[1]), np.float32)
        for row in range(start, stop):
            rounded[row] = nearest(rest[row])
            error = (rest[row] - rounded[row]) / factor[row, row]
            rest[row + 1 : stop] -= np.outer(factor[row, row + 1 : stop], error)
            errors[row - start] = error
        rest[stop:] -= factor[start:stop, stop:].T @ errors
    return rounded


def _upper_inverse(upper: Array) -> Array:
    """Inverse of an upper triangular matrix, by halves: a third of the time of an inverse that knows of no zeros."""
    size = len(upper)
    if size <= _BLOCK:
        return np.linalg.inv(upper)
    half = size // 2
    first, last = _upper_inverse(upper[:half, :half]), _upper_inverse(upper[half:, half:])
    return np.block([[first, -(first @ upper[:half, half:]) @ last], [np.zeros((size - half, half)), last]])


def bfloat16(x: Array) -> Array:
    """fp32 values rounded to the nearest bf16, ties to even; finite ones only."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    found: Array = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return found


def balance(channel_max: Array, weight: Array, strength: float) -> Array:
    """(K,) factors s > 0: inputs divided and weight rows multiplied by them share the outliers (SmoothQuant).

    Args:
        channel_max: (K,) largest magnitude of each input channel.
        weight: (K, N).
        strength: 0 leaves all with the inputs, 1 moves all to the weights.
    """
    floor = np.finfo(np.float32).tiny
    rows = np.maximum(np.abs(weight).max(axis=1), floor)
    factors = np.maximum(channel_max, floor) ** strength / rows ** (1 - strength)
    found: Array = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
    return found
