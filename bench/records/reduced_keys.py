"""An experiment: fewer keys and values in blocks across views. Approximate, and no mode of anything: what it would cost.

    python bench/records/reduced_keys.py error --model da3-small --views 16 --size 252 252     # on any machine
    python bench/records/reduced_keys.py speed --views 32 128                                  # on an NVIDIA GPU

Each 2×2 square of a view's patches gives one key and one value, their means; the class or camera token keeps its own. A
key that stands for four weighs four times as much: log 4 is added to its scores (proportional attention of Bolya et al.
2023, Token Merging, arXiv:2210.09461). Static shapes and plain operators, so it exports like the exact network.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def main() -> None:
    """Print the error or the speed of the reduced network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("error", "speed"))
    parser.add_argument("--model", default="da3-small")
    parser.add_argument("--views", type=int, nargs="+", default=[16])
    parser.add_argument("--size", type=int, nargs=2, default=(504, 504))
    given = parser.parse_args()
    for views in given.views:
        for row in error(given.model, views, *given.size) if given.what == "error" else speed(views, *given.size):
            print(json.dumps(row), flush=True)


def reduced(grid: tuple[int, int], side: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The attention of a block across views of `grid` patches, keys and values averaged over squares of `side`."""

    def merge(x: Tensor) -> Tensor:
        """(B, heads, N·T, D) to fewer tokens."""
        batch, heads, length, width = x.shape
        views = length // (1 + grid[0] * grid[1])
        x = x.reshape(batch * heads * views, -1, width)
        patches = x[:, 1:].transpose(1, 2).unflatten(2, grid)
        small = F.avg_pool2d(patches, side, ceil_mode=True, count_include_pad=False).flatten(2).transpose(1, 2)
        return torch.cat((x[:, :1], small), dim=1).reshape(batch, heads, -1, width)

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        fewer = merge(k)
        tokens = 1 + math.ceil(grid[0] / side) * math.ceil(grid[1] / side)
        weight = torch.full((tokens,), 2 * math.log(side), dtype=q.dtype, device=q.device)
        weight[0] = 0.0
        mask = weight.repeat(fewer.shape[2] // tokens).expand(1, 1, q.shape[2], -1)
        return F.scaled_dot_product_attention(q, fewer, merge(v), attn_mask=mask)

    return attention


def error(model: str, views: int, height: int, width: int) -> list[dict[str, object]]:
    """Distance of the reduced network's depth and poses from the exact one's, both fp32, for both kinds of weights."""
    from depthport.bench.inputs.inputs import load_scenes
    from depthport.exporters.core.artifact import Shape
    from depthport.exporters.core.precision import POLICIES
    from depthport.exporters.da3.build import named_upstream
    from depthport.exporters.da3.static.blocks import attention as exact
    from depthport.exporters.da3.static.network import build_static

    rows: list[dict[str, object]] = []
    for kind in ("synthetic:0", "synthetic:0,outliers"):
        upstream = named_upstream(model, kind)
        net: Any = build_static(upstream, 1, views, height, width, None, POLICIES["fp32"])
        grid = net.shape.grid
        for scene in load_scenes(Shape(1, views, height, width), sets=2):
            image, found = torch.from_numpy(scene.image), {}
            for side in (1, 2, 3):
                kernel = exact if side == 1 else reduced(grid, side)
                for index, block in enumerate(net.backbone.blocks):
                    if index >= net.backbone.alternate_from and index % 2 == 1:
                        block.attn.kernel = kernel
                with torch.inference_mode():
                    found[side] = dict(zip(net.output_names, net(image), strict=True))
            common = {"weights": kind, "scene": scene.name, "views": views}
            rows += [{**common, "side": side, **_errors(found[side], found[1])} for side in (2, 3)]
    return rows


def _errors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, object]:
    numbers = {name: value for name, value in expected.items() if value.is_floating_point()}
    relative = {name: float((found[name] - value).norm() / value.norm()) for name, value in numbers.items()}
    abs_rel = float(((found["depth"] - expected["depth"]).abs() / expected["depth"]).mean())
    turn = found["extrinsics"][..., :3].mT @ expected["extrinsics"][..., :3]
    cosine = ((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
    same = bool(torch.equal(found["reference_view"], expected["reference_view"]))
    return {**relative, "abs_rel": abs_rel, "rotation_deg": float(cosine.acos().max().rad2deg()), "same_reference": same}


def speed(views: int, height: int, width: int) -> list[dict[str, object]]:
    """Attention of one block across views, 16 heads of 64 in bf16, all keys against a quarter of them, cuDNN and ours."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from depthport.exporters.da3.kernels import attention as ours

    grid = (height // 14, width // 14)
    tokens = 1 + grid[0] * grid[1]
    q, k, v = (torch.randn(1, 16, views * tokens, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    few = slice(0, views * (1 + math.ceil(grid[0] / 2) * math.ceil(grid[1] / 2)))
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        all_ms = _milliseconds(lambda: F.scaled_dot_product_attention(q, k, v))
        few_ms = _milliseconds(lambda: F.scaled_dot_product_attention(q, k[:, :, few], v[:, :, few]))
    rows_q, rows_k, rows_v = (part.transpose(1, 2).contiguous() for part in (0.1 * q, k, v))
    ours_ms = _milliseconds(lambda: ours(rows_q, rows_k, rows_v, 1.0, True))
    return [{"views": views, "cudnn_ms": all_ms, "cudnn_quarter_ms": few_ms, "ours_ms": ours_ms}]


def _milliseconds(call: Callable[[], object], calls: int = 5) -> float:
    """Median of calls timed by events."""
    times: list[float] = []
    for index in range(calls + 2):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        if index >= 2:
            times.append(begin.elapsed_time(end))
    return sorted(times)[calls // 2]


if __name__ == "__main__":
    main()
