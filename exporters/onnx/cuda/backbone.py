"""The backbone's graph: :class:`depthport.exporters.da3.static.backbone.Backbone` in ONNX Runtime's fused operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.da3.shapes import PATCH, NetworkShape
from depthport.exporters.da3.static.backbone import Backbone
from depthport.exporters.da3.static.blocks import Block, Mlp
from depthport.exporters.da3.static.reference_view import MIN_VIEWS
from depthport.exporters.da3.static.rope import RopeTable
from depthport.exporters.onnx.cuda.attention import emit_attention
from depthport.exporters.onnx.cuda.reference_view import emit_reference_view

if TYPE_CHECKING:
    from depthport.exporters.onnx.cuda.emitter import Emitter, Value


@dataclass(frozen=True)
class Features:
    """Input of the heads."""

    tokens: list[Value]
    """Four (V, T, 2C) in the backbone's dtype, special tokens included."""
    camera: Value
    """(V, 2C) fp32."""
    reference_view: Value
    """(B,) int64."""


@dataclass
class _Branch:
    """The output of a residual branch on its way to the stream, without its bias."""

    value: Value
    bias: Tensor


class BackboneEmitter:
    """Emits one backbone; `dtype` is that of weights, activations and the residual stream."""

    def __init__(self, g: Emitter, source: Backbone, shape: NetworkShape, dtype: torch.dtype) -> None:
        self.g, self.source, self.shape, self.dtype = g, source, shape, dtype
        self.views = shape.batch * shape.views
        self.channels = source.positions.shape[-1]

    def emit(self, image: Value) -> Features:
        """(B, N, 3, H, W) fp32 to the features."""
        g, source, shape = self.g, self.source, self.shape
        blocks = cast("list[Block]", list(source.blocks))
        x = self._embed(image)
        y = self._norm(x, blocks[0].norm1.norm)
        reference = None
        local, tokens, ends = x, [], (x, x)
        for index, block in enumerate(blocks):
            # Here x is the block's input and y its norm.
            g.scope = f"blocks.{index}."
            if index == source.alternate_from - 1 and shape.views >= MIN_VIEWS:
                reference = emit_reference_view(g, self._special(x), shape.batch, shape.views, self.channels)
            if index == source.alternate_from:
                x = self._with_camera_tokens(x, None if reference is None else reference.index)
                y = self._norm(x, block.norm1.norm)
            across = index >= source.alternate_from and index % 2 == 1
            x, y = self._add(x, self._attend(y, block, index, across), block.norm2.norm)
            branch = self._mlp(y, block)
            last = index + 1 == len(blocks)
            following = source.norm.norm if last else blocks[index + 1].norm1.norm
            x, y = self._add(x, branch, following)
            if not across:
                local = x
            if index in source.out_layers:
                normed = y if last else self._norm(x, source.norm.norm)
                tokens.append(g.op("Concat", local, normed, axis=-1))
                ends = (local, x)
        g.scope = "camera."
        camera = g.op("Concat", *(self._special(end) for end in ends), axis=-1)
        g.scope = ""
        return Features(tokens, camera, self._fixed_reference(image) if reference is None else reference.view)

    def _embed(self, image: Value) -> Value:
        """Tokens (V, T, C); the patch convolution is a matrix product of the patches' pixels."""
        g, (rows, columns) = self.g, self.shape.grid
        g.scope = "patch_embed."
        convolution = self.source.patch_embed
        assert convolution.bias is not None
        pixels = g.reshape(g.cast(image, self.dtype), self.views, 3, rows, PATCH, columns, PATCH)
        pixels = g.reshape(g.transpose(pixels, 0, 2, 4, 1, 3, 5), self.views, rows * columns, 3 * PATCH * PATCH)
        patches = g.op("MatMul", pixels, g.constant("weight", convolution.weight.flatten(1).T, self.dtype))
        patches = g.op("Add", patches, g.constant("positions", self.source.positions + convolution.bias, self.dtype))
        prefix = self.source.prefix.expand(self.views, -1, -1)
        return g.op("Concat", g.constant("prefix", prefix, self.dtype), patches, axis=1)

    def _norm(self, x: Value, norm: nn.LayerNorm) -> Value:
        g = self.g
        scale, bias = g.constant("norm.weight", norm.weight, self.dtype), g.constant("norm.bias", norm.bias, self.dtype)
        return g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=norm.eps)

    def _add(self, x: Value, branch: _Branch, norm: nn.LayerNorm) -> tuple[Value, Value]:
        """The stream with the branch added, and its norm."""
        g = self.g
        y, total = g.ops(
            "SkipLayerNormalization",
            branch.value,
            x,
            g.constant("norm.weight", norm.weight, self.dtype),
            g.constant("norm.bias", norm.bias, self.dtype),
            g.constant("bias", branch.bias, self.dtype),
            outputs=(0, 3),
            contrib=True,
            epsilon=norm.eps,
        )
        return total, y

    def _attend(self, y: Value, block: Block, index: int, across: bool) -> _Branch:
        g, source = self.g, self.source
        table = None
        if index >= source.rope_from:
            name = "global" if across else "local"
            table = RopeTable(getattr(source, f"{name}_cos"), getattr(source, f"{name}_sin"))
        groups = self.shape.batch if across else self.views
        size = (self.views, self.shape.tokens, self.channels)
        mixed, value_bias = emit_attention(g, y, block.attn, groups, size, table, self.dtype)
        return self._project(mixed, block.attn.proj, block.scale1, value_bias)

    def _mlp(self, y: Value, block: Block) -> _Branch:
        g, mlp = self.g, block.mlp
        if not isinstance(mlp, Mlp):
            raise UnsupportedError("target 'ort-cuda' does not support this model's MLP: leave out the target")
        hidden = g.op("MatMul", y, g.constant("fc1.weight", mlp.fc1.weight.T, self.dtype))
        hidden = g.op("BiasGelu", hidden, g.constant("fc1.bias", mlp.fc1.bias, self.dtype), contrib=True)
        return self._project(hidden, mlp.fc2, block.scale2)

    def _project(self, x: Value, linear: nn.Linear, scale: Tensor, input_bias: Tensor | None = None) -> _Branch:
        """S · (W (x + input_bias) + b), the constant part left to the sum."""
        weight = scale.double()[:, None] * linear.weight.double()
        bias = scale.double() * linear.bias.double()
        if input_bias is not None:
            bias = bias + weight @ input_bias.double()
        return _Branch(self.g.op("MatMul", x, self.g.constant("out.weight", weight.T, self.dtype)), bias)

    def _special(self, x: Value) -> Value:
        """(V, C) fp32 of the first token of each view."""
        g = self.g
        return g.cast(g.reshape(g.slice(x, 1, 0, 1), self.views, self.channels), torch.float32)

    def _with_camera_tokens(self, x: Value, reference: Value | None) -> Value:
        """The stream with each view's first token replaced; `reference` is its view's index (B, 1), fp32."""
        g, shape = self.g, self.shape
        tokens = self.source.camera_tokens[:, 0]
        if reference is None:
            made = g.constant("camera_tokens", tokens.repeat(shape.batch, 1), self.dtype)
        else:
            position = g.constant("views", torch.arange(shape.views, dtype=torch.float32)[None])
            chosen = g.reshape(g.op("Equal", reference, position, dtype=torch.bool), self.views, 1)
            made = g.op(
                "Where", chosen, g.constant("camera_token.reference", tokens[:1], self.dtype),
                g.constant("camera_token.other", tokens[1:2], self.dtype), dtype=self.dtype,
            )  # fmt: skip
        return self._replace_special(x, made)

    def _replace_special(self, x: Value, tokens: Value) -> Value:
        g = self.g
        rest = g.slice(x, 1, 1, self.shape.tokens)
        return g.op("Concat", g.reshape(tokens, self.views, 1, self.channels), rest, axis=1)

    def _fixed_reference(self, image: Value) -> Value:
        """View 0 of each scene, as something computed: a constant output is copied from the host in every run."""
        g, batch = self.g, self.shape.batch
        sample = g.reshape(g.slice(g.reshape(image, batch, -1), 1, 0, 1), batch)
        return g.cast(g.op("Less", sample, sample, dtype=torch.bool), torch.int64)
