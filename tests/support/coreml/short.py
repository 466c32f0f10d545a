"""A network of four blocks with the full head: what the tests convert."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.coreml.mil.package import Package
from depthport.exporters.coreml.network import PackageNetwork, interface, split_patch_convolution
from depthport.exporters.coreml.options import CoreMLOptions
from depthport.exporters.da3.build import named_upstream
from depthport.exporters.da3.static.network import build_static
from depthport.exporters.da3.upstream import upstream_forward
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
from depthport.exporters.inputs.probe import probe_image, probe_pixels

HEIGHT, WIDTH = 70, 98
KEPT_BLOCKS = (0, 3, 4, 5)
"""Of da3-small's twelve: two without and two with QK-norm, the last attending across views."""


def shorten(upstream: nn.Module) -> nn.Module:
    """da3-small with four transformer blocks; everything else as it is."""
    backbone: Any = upstream.backbone
    inner = backbone.pretrained
    inner.blocks = nn.ModuleList(inner.blocks[i] for i in KEPT_BLOCKS)
    inner.alt_start, inner.rope_start, backbone.out_layers = 2, 2, [0, 1, 2, 3]
    return upstream


def short_upstream() -> nn.Module:
    """Upstream's network, shortened, with synthetic weights."""
    return shorten(named_upstream("da3-small", "synthetic:0"))


def scene(views: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """(1, N, 3, H, W), normalised."""
    return torch.from_numpy(probe_image(1, views, height, width, IMAGENET_MEAN, IMAGENET_STD))


@dataclass(frozen=True)
class Converted:
    """A package and what it was made from."""

    path: Path
    package: Package
    network: Any
    examples: list[Tensor]
    options: CoreMLOptions
    model: Any

    @property
    def inputs(self) -> dict[str, Tensor]:
        return dict(zip(self.network.face.images or ("image",), self.examples, strict=True))

    def expected(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return dict(zip(self.network.face.outputs, self.network(*self.examples), strict=True))


def package_network(
    upstream: nn.Module, views: int, *, images: bool = False, ane: bool = False, width: int = WIDTH
) -> tuple[Any, list[Tensor]]:
    """The short network behind a package's interface, and its inputs."""
    static = build_static(upstream, 1, views, HEIGHT, width, None, POLICIES["fp32"])
    face = interface(static.output_names, Shape(1, views, HEIGHT, width), images=images, host_pose=ane)
    network = PackageNetwork(static, face, views)
    if ane:
        split_patch_convolution(static)
    return network, pixels(views, width) if images else [scene(views, HEIGHT, width)]


def pixels(views: int, width: int = WIDTH) -> list[Tensor]:
    """One (1, 3, H, W) of pixel values a view."""
    whole = torch.from_numpy(probe_pixels(1, views, HEIGHT, width)).flatten(0, 1).permute(0, 3, 1, 2).float()
    return [view.contiguous() for view in whole.split(1)]


class FloatIsDouble(TorchFunctionMode):
    """Upstream casts to fp32 in places, which would end exact arithmetic there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0].double() if func is Tensor.float else func(*args, **(kwargs or {}))


def upstream_in_fp64(upstream: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Upstream's outputs in fp64; the network stays as it is."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with FloatIsDouble():
            return upstream_forward(copy.deepcopy(upstream).double(), image.double())
    finally:
        torch.set_default_dtype(default)
