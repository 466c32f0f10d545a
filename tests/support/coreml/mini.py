"""A network of a dozen layers with the static network's interface, which converts in a second.

What the exporter and the runtime do around a network does not need a real one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from depthport.exporters import api
from depthport.exporters.core.artifact import Artifact, Shape
from depthport.exporters.core.store import ArtifactStore, Stored
from depthport.exporters.coreml.exporter import CoreMLExporter, _Build
from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.camera import PoseMatrices
from depthport.exporters.da3.static.reference_view import MIN_VIEWS, select_reference_view

CHANNELS = 48


class MiniBackbone(nn.Module):
    alternate_from = 2

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, CHANNELS, 14, 14)
        self.norm = nn.LayerNorm(CHANNELS, eps=1e-6)


class MiniNetwork(nn.Module):
    """Every output depends on every pixel of its view; parameters are the same for every shape."""

    output_names = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view")

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.shape = NetworkShape(shape.batch, shape.views, shape.height, shape.width)
        self.backbone = MiniBackbone()
        self.mix = nn.Linear(CHANNELS, CHANNELS)
        self.head = nn.ModuleDict({"logits": nn.Linear(CHANNELS, 2 * 14 * 14)})
        self.camera = nn.Linear(CHANNELS, 9)
        self.pose: nn.Module = PoseMatrices(self.shape.size)
        self.register_buffer("rest", torch.tensor([0.0, 0, 0, 0, 0, 0, 1.0, 0.8, 0.8]), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        batch, views = image.shape[:2]
        x = self.backbone.patch_embed(image.flatten(0, 1)).flatten(2).transpose(1, 2)
        x = self.backbone.norm(x)
        x = nn.functional.gelu(self.mix(x + x.mean(1, keepdim=True)))
        maps = nn.functional.pixel_shuffle(self.head["logits"](x).transpose(1, 2).unflatten(2, self.shape.grid), 14)
        maps = (0.5 * maps).unflatten(0, (batch, views))
        summary = x.mean(1)
        encoding = self.rest + 0.25 * self.camera(summary).unflatten(0, (batch, views))
        chosen = torch.zeros(batch, dtype=torch.int64)
        if views >= MIN_VIEWS:
            chosen = select_reference_view(summary.unflatten(0, (batch, views)))
        return maps[:, :, 0].exp(), maps[:, :, 1].exp() + 1, *self.pose(encoding), chosen


def use_mini_network(monkeypatch: Any) -> None:
    """Exports of da3-small are of the mini network, by an exporter that need not be installed."""
    monkeypatch.setattr(_Build, "_network", lambda self, shape: MiniNetwork(shape))
    monkeypatch.setattr(api, "get_exporter", lambda name: CoreMLExporter())


def export_mini(
    folder: Path, precision: str = "fp32", views: int = 1, size: tuple[int, int] = (42, 56), **given: Any
) -> Stored:
    """An artifact of the mini network; :func:`use_mini_network` first."""
    request = api.prepare(
        "da3-small",
        format="coreml",
        precision=precision,
        views=views,
        height=size[0],
        width=size[1],
        weights="synthetic:0",
        **given,
    )
    return api.export_request(request, ArtifactStore(folder))


def mini_package(folder: Path) -> Path:
    """The package of the mini network, exported into a store below `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        use_mini_network(patch)
        return export_mini(folder, "fp16", views=2).artifact.path / "model.mlpackage"


def mini_artifacts(folder: Path) -> dict[str, Artifact]:
    """The mini network in each form that a runtime has to take."""
    with pytest.MonkeyPatch.context() as patch:
        use_mini_network(patch)
        return {
            "fp32": export_mini(folder, views=3).artifact,
            "ane": export_mini(folder, "fp16", views=2, options={"ane": True}).artifact,
            "images": export_mini(folder, "fp16", views=2, preprocess=True).artifact,
            "functions": export_mini(folder, options={"functions": "2x28x42"}).artifact,
        }
