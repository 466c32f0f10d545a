"""The layers that may be quantized, by the names that network and graph share, and what calibration learns of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

Array = np.ndarray

WINDOWS = 4096
"""Windows of a convolution that are watched in one scene, about; their gram matrix is all that is made of them."""

_LINEAR = re.compile(r"backbone\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2|w12|w3))$")
_BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")
_CONVOLUTION = re.compile(r"head\.(stages\.\d\.reduce|depth\.(chain\..*|neck|output\.conv))$")
_AFTER_NORM = re.compile(r"\.(attn\.qkv|mlp\.(fc1|w12))$")
_BEFORE_RELU = re.compile(r"\.conv1$|depth\.output\.conv$")


def is_linear(name: str) -> bool:
    """A linear layer of the backbone, (V, T, K) to (V, T, N), whose first token is the camera's."""
    return _LINEAR.match(name) is not None


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The backbone's blocks, in the order in which they are computed."""
    return [module for name, module in network.named_modules() if _BLOCK.fullmatch(f"{name}.")]


def block_of(name: str, blocks: int) -> int:
    """Return the index of the backbone's block that a layer, or a block's attention, is in; `blocks` of the head's."""
    match = _BLOCK.match(name)
    return int(match[1]) if match else blocks


def norm_before(name: str) -> str | None:
    """The LayerNorm whose output this linear layer alone reads."""
    if not _AFTER_NORM.search(name):
        return None
    return re.sub(r"attn\.qkv$", "norm1.norm", re.sub(r"mlp\.(fc1|w12)$", "norm2.norm", name))


def relu_after(name: str) -> bool:
    """Return whether a ReLU alone reads what this convolution makes."""
    return _BEFORE_RELU.search(name) is not None


def candidates(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that may be quantized, in the network's order.

    Patch embedding, camera decoder, projections of the tokens (1×1, after a LayerNorm), rays and the last layer before
    the exponential are not among them.
    """
    return {
        name: module
        for name, module in network.named_modules()
        if is_linear(name) or (_CONVOLUTION.match(name) and getattr(module, "kernel_size", None) is not None)
    }


@dataclass
class Observation:
    """Observations of a layer over the calibration scenes."""

    gflop: float = 0.0
    """Arithmetic of one inference."""
    low: float = np.inf
    high: float = -np.inf
    """Range of its inputs; of a linear layer without the camera tokens."""
    out_low: float = np.inf
    out_high: float = -np.inf
    """Range of its outputs, after the ReLU where one follows."""
    channel_max: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    """(K,) of a linear layer."""
    hessian: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """Gram matrix of a linear layer's patch tokens, (K, K), each weighed by the size of what it becomes (:func:`_gram`), or
    of a convolution's windows, (C·h·w, C·h·w)."""


def observe(network: nn.Module, images: Sequence[Array]) -> dict[str, Observation]:
    """Run calibration scenes (B, N, 3, H, W) through a static network and watch its layers.

    Returns:
        An observation for each of :func:`candidates`.
    """
    import torch

    layers = candidates(network)
    seen = {name: Observation() for name in layers}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            _update(seen[name], name, module, inputs[0], output)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in layers.items()]
    try:
        with torch.inference_mode():
            for image in images:
                network(torch.from_numpy(image))
    finally:
        for handle in handles:
            handle.remove()
    for observation in seen.values():
        observation.gflop /= max(1, len(images))
    return seen


def _update(seen: Observation, name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
    weight = module.get_parameter("weight")
    seen.gflop += 2e-9 * y.numel() * weight[0].numel()
    if is_linear(name):
        # Tokens of the camera keep their fp32 product; what they hold must not stretch the patches' range.
        x = x[:, 1:].flatten(0, 1)
        largest = x.abs().amax(dim=0).numpy()
        gram = _gram(x, y[:, 1:].flatten(0, 1)).numpy()
        seen.channel_max = np.maximum(seen.channel_max, largest) if seen.channel_max.size else largest
    else:
        gram = _windows_gram(module, x).numpy()
        made = y.relu() if relu_after(name) else y
        seen.out_low = min(seen.out_low, float(made.min()))
        seen.out_high = max(seen.out_high, float(made.max()))
    seen.hessian = seen.hessian + gram if seen.hessian.size else gram
    seen.low, seen.high = min(seen.low, float(x.min())), max(seen.high, float(x.max()))


def _gram(x: Tensor, y: Tensor) -> Tensor:
    """(K, K), Σ xᵀx / |y|² of tokens (T, K) and what the layer makes of them (T, N).

    The norm that follows divides a massive token's error by its size. Unweighed, the few massive tokens would outweigh
    all others and those would pay: the second MLP layer of block 4 of `outliers` weights, which makes them, lost seven
    times as much in bf16 as rounded to nearest.
    """
    unit = x / y.norm(dim=1, keepdim=True).clamp_min(1e-12)
    gram: Tensor = unit.T @ unit
    return gram


def _windows_gram(convolution: Any, x: Tensor) -> Tensor:
    """(C·h·w, C·h·w), Σ xᵀx of some of the windows of maps (V, C, H, W) that a convolution multiplies."""
    import torch.nn.functional as F

    (down, right), (height, width) = convolution.padding, convolution.kernel_size
    padded = F.pad(x, (right, right, down, down))
    every = max(1, round((x.shape[0] * x.shape[2] * x.shape[3] / WINDOWS) ** 0.5))
    steps = [every * stride for stride in convolution.stride]
    windows = padded.unfold(2, height, steps[0]).unfold(3, width, steps[1])
    flat = windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)
    gram: Tensor = flat.T @ flat
    return gram


@contextmanager
def hooked(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Remove torch hooks at the end."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
