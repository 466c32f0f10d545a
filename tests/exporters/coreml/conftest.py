"""A network of four blocks with the full head, and packages of it, each converted once a test run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from exporters.coreml_shims import import_coremltools

try:
    import_coremltools()
except ImportError:
    pytest.skip("coremltools is not installed", allow_module_level=True)

from torch import Tensor, nn

from exporters.artifact import Shape
from exporters.coreml_check.package import Package, read_package
from exporters.coreml_check.probe import probe_image
from exporters.coreml_options import CoreMLOptions
from exporters.precision import POLICIES
from exporters.signature import IMAGENET_MEAN, IMAGENET_STD

HEIGHT, WIDTH = 70, 98
KEPT_BLOCKS = (0, 3, 4, 5)
"""Of da3-small's twelve: two without and two with QK-norm, the last attending across views."""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def shorten(upstream: nn.Module) -> nn.Module:
    """da3-small with four transformer blocks; everything else as it is."""
    backbone: Any = upstream.backbone
    inner = backbone.pretrained
    inner.blocks = nn.ModuleList(inner.blocks[i] for i in KEPT_BLOCKS)
    inner.alt_start, inner.rope_start, backbone.out_layers = 2, 2, [0, 1, 2, 3]
    return upstream


@pytest.fixture(scope="session")
def upstream() -> nn.Module:
    from exporters.da3.upstream import build_upstream
    from exporters.da3.weights import load_state_dict, resolve_weights

    return shorten(
        build_upstream("da3-small", load_state_dict(resolve_weights("synthetic:0", "da3-small"), "da3-small"))
    )


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


Convert = Callable[..., Converted]


@pytest.fixture(scope="session")
def converted(upstream: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """`converted(precision, views=..., images=..., **options)`: the short network as a saved package."""
    from exporters.coreml_convert import capture, convert, save

    @cache
    def traced(route: str, views: int, images: bool, ane: bool, width: int) -> tuple[Any, list[Tensor], Any]:
        network, examples = package_network(upstream, views, images=images, ane=ane, width=width)
        return network, examples, capture(network, examples, route)

    @cache
    def make(precision: str = "fp32", views: int = 3, images: bool = False, width: int = WIDTH, **given: Any) -> Converted:
        options = replace(CoreMLOptions(), **given)
        network, examples, graph = traced(options.route, views, images, options.ane, width)
        model = convert(network, examples, options, POLICIES[precision], graph)
        path = tmp_path_factory.mktemp("packages") / "model.mlpackage"
        save(model, path)
        return Converted(path, read_package(path), network, examples, options, model)

    return make


def package_network(
    upstream: nn.Module, views: int, *, images: bool = False, ane: bool = False, width: int = WIDTH
) -> tuple[Any, list[Tensor]]:
    """The short network behind a package's interface, and its inputs."""
    from exporters.coreml_network import PackageNetwork, interface, split_patch_convolution
    from exporters.da3.network import build_static

    static = build_static(upstream, 1, views, HEIGHT, width, None, POLICIES["fp32"])
    face = interface(static.output_names, Shape(1, views, HEIGHT, width), images=images, host_pose=ane)
    network = PackageNetwork(static, face)
    if ane:
        split_patch_convolution(static)
    return network, pixels(views, width) if images else [scene(views, HEIGHT, width)]


def pixels(views: int, width: int = WIDTH) -> list[Tensor]:
    """One (1, 3, H, W) of pixel values a view."""
    from exporters.coreml_check.probe import probe_pixels

    whole = torch.from_numpy(probe_pixels(1, views, HEIGHT, width)).flatten(0, 1).permute(0, 3, 1, 2).float()
    return [view.contiguous() for view in whole.split(1)]
