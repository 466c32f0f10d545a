"""The dense head's graph: :class:`exporters.da3.head.DualHead` on maps (V, h, w, C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from exporters.onnx_cuda.maps import MapEmitter, embedding_response

if TYPE_CHECKING:
    from torch import Tensor

    from exporters.da3.head import DepthBranch, DualHead, Fusion, FusionChain, Output, RayBranch, ResidualUnit, Stage
    from exporters.da3.shapes import NetworkShape
    from exporters.onnx_cuda.emitter import Emitter, Value
    from exporters.onnx_cuda.maps import Size


def emit_head(
    g: Emitter, head: DualHead, features: list[Value], shape: NetworkShape, dtype: torch.dtype
) -> dict[str, Value]:
    """Four features (V, T, 2C), special tokens included, to `depth`, `depth_conf`, `ray`, `ray_conf`: flat, fp32.

    As in the network, no more than `head.views_per_pass` views go through at a time.
    """
    total, step = shape.batch * shape.views, head.views_per_pass
    found: list[dict[str, Value]] = []
    for start in range(0, total, step):
        views = min(step, total - start)
        g.scope = f"head.{start}." if total > step else "head."
        part = [g.slice(x, 0, start, start + views) for x in features] if total > step else features
        maps = _HeadEmitter(g, head, shape, views, dtype).emit(part)
        found.append({name: g.reshape(value, views, -1) for name, value in maps.items()} if total > step else maps)
    g.scope = ""
    if len(found) == 1:
        return found[0]
    return {name: g.op("Concat", *(maps[name] for maps in found), axis=0) for name in found[0]}


class _HeadEmitter:
    """Emits the head for some of the views."""

    def __init__(self, g: Emitter, head: DualHead, shape: NetworkShape, views: int, dtype: torch.dtype) -> None:
        self.g, self.head, self.shape, self.views, self.dtype = g, head, shape, views, dtype
        self.maps = MapEmitter(g, views, dtype)

    def emit(self, features: list[Value]) -> dict[str, Value]:
        scope = self.g.scope
        stages = cast("list[Stage]", list(self.head.stages))
        maps = []
        for index, (stage, tokens) in enumerate(zip(stages, features, strict=True)):
            self.g.scope = f"{scope}stages.{index}."
            maps.append(self._stage(stage, tokens))
        found: dict[str, Value] = {}
        if self.head.depth is not None:
            self.g.scope = f"{scope}depth."
            found["depth"], found["depth_conf"] = self._depth(self.head.depth, maps)
        if self.head.ray is not None:
            self.g.scope = f"{scope}ray."
            found["ray"], found["ray_conf"] = self._ray(self.head.ray, maps)
        self.g.scope = scope
        return found

    def _stage(self, stage: Stage, tokens: Value) -> Value:
        g, m, norm, (rows, columns) = self.g, self.maps, stage.norm.norm, self.shape.grid
        x = g.op(
            "LayerNormalization", g.cast(tokens, self.dtype), g.constant("norm.weight", norm.weight, self.dtype),
            g.constant("norm.bias", norm.bias, self.dtype), axis=-1, epsilon=norm.eps,
        )  # fmt: skip
        x = g.slice(m.pointwise("project", x, stage.project.weight.flatten(1)), 1, 1, self.shape.tokens)
        assert stage.project.bias is not None
        uv = (stage.uv.by_row.float() + stage.uv.by_column.float())[0].permute(1, 2, 0) + stage.project.bias.float()
        x = g.reshape(m.add("uv", x, uv.flatten(0, 1)[None]), self.views, rows, columns, stage.project.out_channels)
        if isinstance(stage.resize, nn.ConvTranspose2d):
            x = m.spread("resize", x, stage.resize, (rows, columns))
        elif isinstance(stage.resize, nn.Conv2d):
            x = m.convolve("resize", x, stage.resize)
        return m.convolve("reduce", x, stage.reduce)

    def _unit(self, name: str, x: Value, unit: ResidualUnit, bias: Tensor | None = None) -> Value:
        """What a residual unit adds to its input `x`; `bias` goes on top."""
        m = self.maps
        x = m.relu(m.convolve(f"{name}.conv1", m.relu(x), unit.conv1))
        assert unit.conv2.bias is not None
        return m.convolve(f"{name}.conv2", x, unit.conv2, unit.conv2.bias if bias is None else unit.conv2.bias + bias)

    def _chain(self, chain: FusionChain, maps: list[Value]) -> Value:
        """The fused map (V, h, w, F) at 8 samples a patch side."""
        g, m = self.g, self.maps
        fusions = cast("list[Fusion]", list(chain.fusions))
        scope = g.scope
        x: Value | None = None
        # A bias that comes before an upsampling is the same after it: the next level's convolution adds it.
        pending: Tensor | None = None
        for level in (3, 2, 1, 0):
            g.scope, fusion = f"{scope}level{level}.", fusions[level]
            finer = maps[level]
            if x is None or fusion.lateral is None:
                x = finer
            else:
                x = g.op("Sum", self._unit("lateral", finer, fusion.lateral, pending), finer, x)
            x = g.op("Add", self._unit("refine", x, fusion.refine), x)
            channels = fusion.project.out_channels
            x = m.pointwise("project", x, fusion.project.weight.flatten(1))
            pending = fusion.project.bias
            if level == 0:
                assert pending is not None
                x = m.add("project.bias", x, pending)
            x = m.resize(x, channels, self._size(level), fusion.size)
        g.scope = scope
        assert x is not None
        return x

    def _size(self, level: int) -> Size:
        return self.shape.pyramid[level]

    def _depth(self, branch: DepthBranch, maps: list[Value]) -> tuple[Value, Value]:
        """(V·H·W,) depth and confidence."""
        m = self.maps
        x = m.convolve("neck", self._chain(branch.chain, maps), branch.neck)
        x = m.resize(x, branch.neck.out_channels, self.shape.fused, branch.size)
        height, width = branch.size
        logits = self._logits(branch.output, x, self.views * height * width)
        g = self.g
        activated = g.op("Add", g.op("Exp", logits), g.constant("offset", torch.tensor([[0.0], [1.0]])))
        depth, confidence = g.ops("Split", activated, outputs=(0, 1), axis=0, num_outputs=2)
        return depth, confidence

    def _ray(self, branch: RayBranch, maps: list[Value]) -> tuple[Value, Value]:
        """Rays (6, V·h·w)ᵀ and their confidence."""
        g, (height, width) = self.g, self.shape.fused
        x = self._chain(branch.chain, maps)
        for index, convolution in enumerate(branch.neck.children()):
            assert isinstance(convolution, nn.Conv2d)
            x = self.maps.convolve(f"neck.{index}", x, convolution)
        count = self.views * height * width
        logits = self._logits(branch.output, x, count)
        rays = g.transpose(g.slice(logits, 0, 0, 6), 1, 0)
        confidence = g.op("Add", g.op("Exp", g.slice(logits, 0, 6, 7)), g.scalar(1.0))
        return rays, confidence

    def _logits(self, output: Output, x: Value, samples: int) -> Value:
        """(O, samples) fp32: the output's convolution, norm, ReLU and 1×1 convolution, outputs outermost."""
        g, m = self.g, self.maps
        response = embedding_response(output.conv, output.uv)
        x = m.add("embedding", m.convolve("conv", x, _without_bias(output.conv)), response)
        if output.norm is not None:
            norm = output.norm.norm
            x = g.op(
                "LayerNormalization", x, g.constant("norm.weight", norm.weight, self.dtype),
                g.constant("norm.bias", norm.bias, self.dtype), axis=-1, epsilon=norm.eps,
            )  # fmt: skip
        samples_last = g.reshape(g.cast(m.relu(x), torch.float32), samples, output.conv.out_channels)
        assert output.logits.bias is not None
        weight = g.constant("logits.weight", output.logits.weight.flatten(1), torch.float32)
        logits = g.op("Gemm", weight, samples_last, transB=1)
        return g.op("Add", logits, g.constant("logits.bias", output.logits.bias[:, None], torch.float32))


def _without_bias(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution, its bias left to the caller."""
    bare = nn.Conv2d(
        convolution.in_channels, convolution.out_channels, cast("tuple[int, int]", convolution.kernel_size),
        padding=cast("tuple[int, int]", convolution.padding), bias=False, device="meta",
    )  # fmt: skip
    bare.weight = convolution.weight
    return bare
