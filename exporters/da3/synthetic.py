"""Synthetic parameters for machines without the checkpoint: the same bits from every numpy on every machine.

Random weights are easily useless: activations that explode or die, depth that is constant, poses that do not depend on
the input. These are drawn with the variance that keeps every layer near unit scale (He et al. 2015), so that depth
spans over a decade across an image, fields of view lie within 30-90 degrees, quaternions are near unit norm, confidence
stays within an order of magnitude, and all of it depends on the image.

`outliers` plants what real DINOv2 backbones have and low precision breaks on: *massive activations*, a few channels of
a few tokens that are hundreds of times larger than the rest of the residual stream (Sun et al. 2024, arXiv 2402.17762;
Darcet et al. 2024, arXiv 2309.16588). Their square overflows fp16.

Numbers come from numpy's Philox bit generator, keyed by seed and parameter name. Only its raw stream is used, which
numpy guarantees, and single IEEE operations after it; numpy's distributions may change between versions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isqrt, prod, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RECIPE = "depthport.synthetic/1"
"""Names the recipe in the weights' hash; raise it with any change that changes a bit."""

OUTLIER_CHANNELS = ((0.21, 250.0), (0.48, -160.0), (0.83, 100.0))
"""Position in the width of the massive channels, and their value one standard deviation above the threshold."""
OUTLIER_MARK = 14.0
"""Height of the position embedding's peaks, in standard deviations of a channel."""
OUTLIER_THRESHOLD = 6.2
"""Threshold in standard deviations of a normalised token's projection on the unit's direction."""
OUTLIER_SLOPE = 4.0

Array: TypeAlias = NDArray[np.float32]

_BLOCK_KEY = re.compile(r"(.*?)backbone\.pretrained\.blocks\.(\d+)\.mlp\.(?:fc1|w12)\.weight$")
_BLOCK = 1 << 18
_LEVELS = 1 << 16


@dataclass(frozen=True)
class Draw:
    """Uniform around `mean` with standard deviation `std`."""

    std: float
    mean: float = 0.0


# First match decides. `gain` multiplies 1/sqrt(fan_in); `std` and `mean` are absolute.
_GAINS: tuple[tuple[str, float], ...] = (
    (r"attn\.qkv\.weight$", 1.4),
    (r"mlp\.fc2\.weight$", 1.6),
    (r"mlp\.w12\.weight$", 1.4),
    (r"mlp\.w3\.weight$", 1.4),
    (r"resConfUnit\d\.conv1\.weight$", 1.4),
    (r"resConfUnit\d\.conv2\.weight$", 0.7),
    (r"out_conv\.weight$", 0.7),
    (r"sky_output_conv2\.0\.weight$", 1.4),
    (r"sky_output_conv2\.\d\.weight$", 1.2),
    (r"output_conv1\.weight$", 1.0),
    (r"output_conv2(_aux\.\d)?\.0\.weight$", 1.4),
    (r"output_conv2(_aux\.\d)?\.\d\.weight$", 1.2),
    (r"cam_dec\.backbone\.0\.weight$", 0.7),
    (r"cam_dec\.backbone\.2\.weight$", 1.4),
    (r"cam_dec\.fc_t\.weight$", 1.4),
    (r"cam_dec\.fc_qvec\.weight$", 0.5),
    (r"cam_dec\.fc_fov\.0\.weight$", 0.15),
)
_DRAWS: tuple[tuple[str, Draw], ...] = (
    (r"cam_dec\.fc_fov\.0\.bias$", Draw(0.05, 1.0)),
    (r"sky_output_conv2\.2\.bias$", Draw(0.0, -0.3)),  # most of a scene is not sky
    (r"cls_token$", Draw(0.5)),
    (r"camera_token$", Draw(1.0)),
    (r"pos_embed$", Draw(0.3)),
    (r"\.gamma$", Draw(0.05, 0.3)),
    (r"[qk]_norm\.weight$", Draw(0.15, 1.5)),
    (r"norm\d?\.weight$|output_conv2_aux\.\d\.2\.weight$", Draw(0.1, 1.0)),
    (r"bias$", Draw(0.05)),
)


def synthetic_arrays(shapes: Mapping[str, tuple[int, ...]], seed: int, outliers: bool = False) -> dict[str, Array]:
    """Parameters for a network of the given keys and shapes.

    Args:
        shapes: upstream's keys (without `model.`) and shapes.
        seed: chooses all values; a parameter's values depend on the seed, its key and its shape alone.
        outliers: plant massive activations.

    Returns:
        fp32 arrays by key.
    """
    with ThreadPoolExecutor() as pool:  # numpy releases the interpreter lock
        drawn = pool.map(lambda key: _draw(key, shapes[key], seed), shapes)
        arrays = dict(zip(shapes, drawn, strict=True))
    for key in arrays:
        if key.endswith("cam_dec.fc_qvec.bias"):
            arrays[key][3] = 1.0  # quaternions are xyzw: near the identity
    if outliers:
        for root in sorted({match[1] for key in arrays if (match := _BLOCK_KEY.match(key))}):
            _plant_outliers(arrays, root)
    return arrays


def _plant_outliers(arrays: dict[str, Array], root: str) -> None:
    """Let one hidden unit write huge values into three channels of the few tokens it fires for.

    The unit reads a token along one direction. The position embedding has a pattern of peaks along that direction, so a
    few percent of the patches, the middle one among them, come near the unit's threshold whatever the image; the image
    decides which pass it and by how much. The block is the first after the camera token is set, as in trained DINOv2
    about a third into the network; reference-view selection comes before it. The camera decoder reads the residual
    stream without normalisation and so weighs these channels down, as a trained one must.

    Args:
        arrays: all parameters, changed in place.
        root: prefix of the network's keys: empty, or the part's of a nested network.
    """
    numbers = [int(match[2]) for key in arrays if (match := _BLOCK_KEY.match(key)) and match[1] == root]
    prefix = f"{root}backbone.pretrained.blocks.{(max(numbers) + 1) // 3}"
    swiglu = f"{prefix}.mlp.w12.weight" in arrays
    reading, writing = (f"{prefix}.mlp.{name}" for name in (("w12", "w3") if swiglu else ("fc1", "fc2")))
    fc1, bias, fc2 = arrays[f"{reading}.weight"], arrays[f"{reading}.bias"], arrays[f"{writing}.weight"]
    if swiglu:  # the unit's factor is 1, so that it is its gate
        fc1[len(fc1) // 2] = 0.0
        bias[len(fc1) // 2] = 1.0
    gamma = arrays[f"{prefix}.ls2.gamma"]
    positions = arrays[f"{root}backbone.pretrained.pos_embed"]
    side = isqrt(positions.shape[1] - 1)
    positions[0, 1:] += np.float32(OUTLIER_MARK) * _peaks(side).reshape(-1, 1) * fc1[0]
    fc1[0] *= np.float32(OUTLIER_SLOPE)
    bias[0] = -OUTLIER_SLOPE * OUTLIER_THRESHOLD
    width = len(gamma)
    for fraction, amplitude in OUTLIER_CHANNELS:
        channel = int(fraction * width)
        fc2[channel, 0] = np.float32(amplitude / OUTLIER_SLOPE) / gamma[channel]
        if f"{root}cam_dec.backbone.0.weight" in arrays:
            for column in (channel, width + channel):
                arrays[f"{root}cam_dec.backbone.0.weight"][:, column] *= np.float32(1 / 256)


def _peaks(side: int) -> Array:
    """(side, side) product of two triangle waves of two periods, 1 in the middle, within [-1, 1]."""
    turns = np.abs(np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)) * np.float32(2 / side)
    wave = np.abs(turns - np.floor(turns) - np.float32(0.5)) * np.float32(4) - np.float32(1)
    return np.outer(wave, wave)


def _draw(key: str, shape: tuple[int, ...], seed: int) -> Array:
    draw = _distribution(key, shape)
    digest = hashlib.sha256(f"{RECIPE}:{seed}:{key}".encode()).digest()
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    values = np.empty(prod(shape), np.float32)
    scale = np.float32(draw.std * sqrt(12.0) / _LEVELS)
    mean = np.float32(draw.mean)
    for start in range(0, values.size, _BLOCK):
        part = values[start : start + _BLOCK]
        raw = stream.random_raw((part.size + 3) // 4).astype("<u8", copy=False).view("<u2")
        part[:] = raw[: part.size]
        part -= np.float32((_LEVELS - 1) / 2)
        part *= scale
        if mean:
            part += mean
    return values.reshape(shape)


def _distribution(key: str, shape: tuple[int, ...]) -> Draw:
    for pattern, draw in _DRAWS:
        if re.search(pattern, key):
            return draw
    # A transposed convolution whose kernel equals its stride sums over its input channels only.
    fan_in = shape[0] if "resize_layers" in key and shape[-1] != 3 else prod(shape[1:])
    gain = next((gain for pattern, gain in _GAINS if re.search(pattern, key)), 1.0)
    return Draw(gain / sqrt(fan_in))
