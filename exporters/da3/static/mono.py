"""The static network of the monocular models (`da3mono-large`, `da3metric-large`): depth and a sky score, view by view.

Source: upstream's `model/da3.py` with a backbone that neither alternates nor rotates, and `model/dpt.py`. Views do not
see each other: N views are N problems (only the sky fill, on the host, joins those of a scene).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.backbone import Embedding
from depthport.exporters.da3.static.blocks import Block
from depthport.exporters.da3.static.head import FusionChain, resize
from depthport.exporters.da3.static.layers import Norm, adopt, cast, torch_dtype

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import BackboneParts, ConvolutionsParts, HeadParts, NetworkParts

VIEWS_PER_PASS = 8
"""Views per pass, as upstream: full-resolution maps of more would take gigabytes."""


class PlainBackbone(Embedding):
    """Plain DINOv2: images to the patch tokens after four of its blocks, normalised."""

    def __init__(self, source: BackboneParts, out_layers: list[int], shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__(source, shape, dtype)
        self.out_layers = tuple(out_layers)
        # What comes after the last block that is read is not computed.
        self.blocks = nn.ModuleList(Block(block, dtype) for block in source.blocks[: max(out_layers) + 1])
        self.norm = Norm(source.norm)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(V, 3, H, W) fp32 to four (V, P, C) fp32."""
        x = self._embed(images)
        found = []
        for index, block in enumerate(self.blocks):
            x = block(x, x.shape[0], None)
            if index in self.out_layers:
                found.append(self.norm(x[:, 1:]))
        return found


class PlainStage(nn.Module):
    """One of four feature maps: projection, resize, 3×3 convolution to a common width."""

    def __init__(self, head: HeadParts, index: int, shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.grid = shape.grid
        self.project = adopt(head.projects[index], dtype)
        self.resize = adopt(head.resize_layers[index], dtype)
        self.reduce = adopt(getattr(head.scratch, f"layer{index + 1}_rn"), dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        """(V, P, C) patch tokens to a map (V, F, h, w)."""
        x = cast(tokens, self.project.weight.dtype).transpose(1, 2).unflatten(2, self.grid)
        out: Tensor = self.reduce(self.resize(self.project(x)))
        return out


class Logits(nn.Module):
    """3×3 convolution, ReLU and 1×1 convolution to one map; the last is fp32 in every policy."""

    def __init__(self, convs: ConvolutionsParts, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv = adopt(convs[0], dtype)
        self.logits = adopt(convs[-1])

    def forward(self, x: Tensor) -> Tensor:
        """(V, F, H, W) to (V, H, W)."""
        out: Tensor = self.logits(cast(F.relu(self.conv(x)), torch.float32)).squeeze(1)
        return out


class SkyHead(nn.Module):
    """Upstream's `DPT`, with either of its outputs or both."""

    def __init__(self, head: HeadParts, shape: NetworkShape, dtype: torch.dtype, *, depth: bool, sky: bool) -> None:
        super().__init__()
        self.size = shape.size
        self.stages = nn.ModuleList(PlainStage(head, index, shape, dtype) for index in range(4))
        self.chain = FusionChain(head.scratch, "", shape, dtype)
        self.neck = adopt(head.scratch.output_conv1, dtype)
        self.depth = Logits(head.scratch.output_conv2, dtype) if depth else None
        self.sky = Logits(head.scratch.sky_output_conv2, dtype) if sky else None

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        """Four features (V, P, C) to `depth`, `sky` or both, each (V, H, W) fp32."""
        if features[0].shape[0] <= VIEWS_PER_PASS:
            return self._pass(features)
        parts = zip(*(feature.split(VIEWS_PER_PASS) for feature in features), strict=True)
        found = [self._pass(list(part)) for part in parts]
        return {name: torch.cat([maps[name] for maps in found]) for name in found[0]}

    def _pass(self, features: list[Tensor]) -> dict[str, Tensor]:
        maps = [stage(tokens) for stage, tokens in zip(self.stages, features, strict=True)]
        x = resize(self.neck(self.chain(maps)), self.size)
        found: dict[str, Tensor] = {}
        if self.depth is not None:
            found["depth"] = self.depth(x).exp()
        if self.sky is not None:
            found["sky"] = self.sky(x).relu()
        return found


class StaticMono(nn.Module):
    """A monocular network for one (B, N, H, W).

    Make it with :func:`depthport.exporters.da3.static.network.build_static`.
    """

    def __init__(
        self, upstream: NetworkParts, shape: NetworkShape, outputs: tuple[str, ...], policy: PrecisionPolicy
    ) -> None:
        super().__init__()
        self.shape = shape
        self.output_names = outputs
        self.policy = policy
        source = upstream.backbone
        self.backbone = PlainBackbone(source.pretrained, source.out_layers, shape, torch_dtype(policy.backbone))
        self.head = SkyHead(upstream.head, shape, torch_dtype(policy.head), depth="depth" in outputs, sky="sky" in outputs)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, N, 3, H, W) fp32, ImageNet-normalised, to the outputs in the order of `output_names`."""
        scene = tuple(image.shape[:2])
        maps = self.head(self.backbone(image.flatten(0, 1)))
        return tuple(maps[name].unflatten(0, scene) for name in self.output_names)
