"""The dense head's graph: :class:`depthport.exporters.da3.static.head.DualHead` on maps with channels last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.head import (
    DepthBranch,
    DualHead,
    Fusion,
    FusionChain,
    Output,
    RayBranch,
    ResidualUnit,
    Stage,
)
from depthport.exporters.onnx.cuda.maps import Map, MapEmitter, embedding_response

if TYPE_CHECKING:
    from depthport.exporters.onnx.cuda.emitter import Emitter, Value


def emit_head(
    g: Emitter, head: DualHead, features: list[Value], shape: NetworkShape, dtype: torch.dtype
) -> dict[str, Value]:
    """Four features (V, T, 2C), special tokens included, to `depth`, `depth_conf`, `ray`, `ray_conf`, fp32.

    As in the network, no more than `head.views_per_pass` views go through at a time. Shapes of the results are the
    outputs' up to a reshape.
    """
    total, step = shape.batch * shape.views, head.views_per_pass
    if total <= step:
        g.scope = "head."
        return _HeadEmitter(g, head, shape, total, dtype).emit(features)
    found: list[dict[str, Value]] = []
    for start in range(0, total, step):
        views = min(step, total - start)
        g.scope = f"head.{start}."
        part = [g.slice(x, 0, start, start + views) for x in features]
        maps = _HeadEmitter(g, head, shape, views, dtype).emit(part)
        found.append({name: g.reshape(value, views, -1) for name, value in maps.items()})
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
        for level, (stage, tokens) in enumerate(zip(stages, features, strict=True)):
            self.g.scope = f"{scope}stages.{level}."
            # Every upsampling turns the map: levels alternate, so that what is added together lies alike.
            maps.append(self._stage(stage, tokens, turned=level % 2 == 1))
        found: dict[str, Value] = {}
        if self.head.depth is not None:
            self.g.scope = f"{scope}depth."
            found["depth"], found["depth_conf"] = self._depth(self.head.depth, maps)
        if self.head.ray is not None:
            self.g.scope = f"{scope}ray."
            found["ray"], found["ray_conf"] = self._ray(self.head.ray, maps)
        self.g.scope = scope
        return found

    def _stage(self, stage: Stage, tokens: Value, turned: bool) -> Map:
        g, m, grid = self.g, self.maps, self.shape.grid
        width = stage.project.out_channels
        x = self._norm(g.cast(tokens, self.dtype), stage.norm.norm)
        x = g.op("MatMul", x, g.constant("project.weight", stage.project.weight.flatten(1).T, self.dtype))
        x = g.slice(x, 1, 1, self.shape.tokens)
        assert stage.project.bias is not None
        uv = (stage.uv.by_row.float() + stage.uv.by_column.float())[0].permute(1, 2, 0) + stage.project.bias.float()
        x = g.op("Add", x, g.constant("uv", uv.flatten(0, 1)[None], self.dtype))
        placed = m.place(x, grid, width, turned)
        if isinstance(stage.resize, nn.ConvTranspose2d):
            placed = m.spread("resize", placed, stage.resize)
        elif isinstance(stage.resize, nn.Conv2d):
            placed = m.convolve("resize", placed, stage.resize)
        return m.convolve("reduce", placed, stage.reduce)

    def _norm(self, x: Value, norm: nn.LayerNorm) -> Value:
        g = self.g
        scale, bias = g.constant("norm.weight", norm.weight, self.dtype), g.constant("norm.bias", norm.bias, self.dtype)
        return g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=norm.eps)

    def _unit(self, name: str, x: Map, unit: ResidualUnit, bias: Tensor | None = None) -> Map:
        """Return what a residual unit adds to its input `x`; `bias` goes on top."""
        m = self.maps
        x = m.relu(m.convolve(f"{name}.conv1", m.relu(x), unit.conv1))
        assert unit.conv2.bias is not None
        return m.convolve(f"{name}.conv2", x, unit.conv2, unit.conv2.bias if bias is None else unit.conv2.bias + bias)

    def _chain(self, chain: FusionChain, maps: list[Map]) -> Map:
        """The fused map at 8 samples a patch side, turned."""
        g, m = self.g, self.maps
        scope, x = g.scope, None
        # A bias that comes before an upsampling is the same after it: the next level's convolution adds it.
        pending: Tensor | None = None
        for level in (3, 2, 1, 0):
            g.scope, fusion = f"{scope}level{level}.", cast("Fusion", chain.fusions[level])
            finer = maps[level]
            if x is None or fusion.lateral is None:
                x = finer
            else:
                x = m.sum(self._unit("lateral", finer, fusion.lateral, pending), finer, x)
            x = m.sum(self._unit("refine", x, fusion.refine), x)
            x = m.pointwise("project", x, fusion.project.weight.flatten(1))
            pending = fusion.project.bias
            if level == 0:
                assert pending is not None
                x = m.add("project.bias", x, pending)
            x = m.resize(x, fusion.size)
        g.scope = scope
        assert x is not None
        return x

    def _depth(self, branch: DepthBranch, maps: list[Map]) -> tuple[Value, Value]:
        """(1, V·H·W) depth and confidence."""
        g, m = self.g, self.maps
        x = m.resize(m.convolve("neck", self._chain(branch.chain, maps), branch.neck), branch.size)
        assert not x.turned
        activated = g.op("Exp", self._logits(branch.output, x))
        activated = g.op("Add", activated, g.constant("offset", torch.tensor([[0.0], [1.0]])))
        depth, confidence = g.ops("Split", activated, outputs=(0, 1), axis=0, num_outputs=2)
        return depth, confidence

    def _ray(self, branch: RayBranch, maps: list[Map]) -> tuple[Value, Value]:
        """(V, h, w, 6) rays and (V, h, w, 1) confidence."""
        g = self.g
        x = self._chain(branch.chain, maps)
        for index, convolution in enumerate(branch.neck.children()):
            assert isinstance(convolution, nn.Conv2d)
            x = self.maps.convolve(f"neck.{index}", x, convolution)
        assert x.turned
        logits = g.reshape(self._logits(branch.output, x), -1, self.views, *x.sides)
        logits = g.transpose(logits, 1, 3, 2, 0)
        return g.slice(logits, 3, 0, 6), g.op("Add", g.op("Exp", g.slice(logits, 3, 6, 7)), g.scalar(1.0))

    def _logits(self, output: Output, x: Map) -> Value:
        """(O, samples) fp32: the output's convolution, norm, ReLU and 1×1 convolution, outputs outermost."""
        g, m = self.g, self.maps
        response = embedding_response(output.conv, output.uv)
        x = m.add("embedding", m.convolve("conv", x, _without_bias(output.conv)), response)
        if output.norm is not None:
            x = replace(x, value=self._norm(x.value, output.norm.norm))
        samples = self.views * x.size[0] * x.size[1]
        last = g.reshape(g.cast(m.relu(x).value, torch.float32), samples, x.channels)
        assert output.logits.bias is not None
        weight = g.constant("logits.weight", output.logits.weight.flatten(1), torch.float32)
        logits = g.op("Gemm", weight, last, transB=1)
        return g.op("Add", logits, g.constant("logits.bias", output.logits.bias[:, None], torch.float32))


def _without_bias(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution, its bias left to the caller."""
    bare = nn.Conv2d(
        convolution.in_channels, convolution.out_channels, cast("tuple[int, int]", convolution.kernel_size),
        padding=cast("tuple[int, int]", convolution.padding), bias=False, device="meta",
    )  # fmt: skip
    bare.weight = convolution.weight
    return bare
