"""The layers that may be quantized, by the names that network and graph share, and what calibration learns of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

Array = np.ndarray

_LINEAR = re.compile(r"backbone\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2|w12|w3))$")
_CONVOLUTION = re.compile(r"head\.(stages\.\d\.reduce|depth\.(chain\..*|neck|output\.conv))$")
_AFTER_NORM = re.compile(r"\.(attn\.qkv|mlp\.(fc1|w12))$")
_BEFORE_RELU = re.compile(r"\.conv1$|depth\.output\.conv$")


def is_linear(name: str) -> bool:
    """A linear layer of the backbone, (V, T, K) to (V, T, N), whose first token is the camera's."""
    return _LINEAR.match(name) is not None


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
    """(K, K), Σ xᵀx of a linear layer's patch tokens."""


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
        gram = (x.T @ x).numpy()
        first = not seen.channel_max.size
        seen.channel_max = largest if first else np.maximum(seen.channel_max, largest)
        seen.hessian = gram if first else seen.hessian + gram
    else:
        made = y.relu() if relu_after(name) else y
        seen.out_low = min(seen.out_low, float(made.min()))
        seen.out_high = max(seen.out_high, float(made.max()))
    seen.low, seen.high = min(seen.low, float(x.min())), max(seen.high, float(x.max()))


@contextmanager
def hooked(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Remove torch hooks at the end."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
