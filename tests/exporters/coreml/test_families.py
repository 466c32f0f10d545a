"""Monocular and nested networks as packages, at test size: configurations of a user's own with upstream's structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.api import export
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.package import read_package
from depthport.exporters.coreml.mil.parity import compare, violations
from depthport.exporters.da3.build import named_upstream
from depthport.exporters.da3.upstream import upstream_forward
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
from depthport.exporters.inputs.probe import probe_image

pytestmark = pytest.mark.slow

MONO = """
__inherit__: depth_anything_3.configs.da3mono-large
net: {name: vits, out_layers: [1, 2, 3, 4]}
head: {dim_in: 384, features: 32, out_channels: [24, 32, 48, 64]}
"""
NESTED = """
__object__: {path: depth_anything_3.model.da3, name: NestedDepthAnything3Net, args: as_params}
anyview: {__inherit__: depth_anything_3.configs.da3-small}
metric:
  __inherit__: depth_anything_3.configs.da3metric-large
  net: {name: vits, out_layers: [1, 2, 3, 4]}
  head: {dim_in: 384, features: 32, out_channels: [24, 32, 48, 64]}
"""


@pytest.mark.parametrize("name,text,views", [("mono", MONO, 2), ("nested", NESTED, 3)])
def test_against_upstream(name: str, text: str, views: int, store: ArtifactStore, tmp_path: Path) -> None:
    import torch

    model = tmp_path / f"{name}.yaml"
    model.write_text(text, encoding="utf-8")
    upstream = named_upstream(str(model), "synthetic:0")
    image = torch.from_numpy(probe_image(1, views, 70, 98, IMAGENET_MEAN, IMAGENET_STD))
    expected = upstream_forward(upstream, image)

    def made(precision: str, **more: Any) -> Any:
        return export(
            str(model), format="coreml", precision=precision, views=views, height=70, width=98, weights="synthetic:0",
            store=store, **more,
        ).artifact  # fmt: skip

    exact = made("fp32")
    assert [s.name for s in exact.manifest.outputs] == list(expected)
    function = read_package(exact.path / "model.mlpackage").function()
    errors = compare(Interpreter(function).run({"image": image}), {n: expected[n] for n in function.outputs})
    assert not violations(errors), errors
    # Pixels in, both patch convolutions split and folded, poses left to the host: the gate has compared it all.
    engine = made("fp16", preprocess=True, options={"ane": True})
    checks = engine.manifest.extra["checks"]["main"]
    assert checks["declared"]["depth"]["rms_over_std"] < 2e-2
    package = read_package(engine.path / "model.mlpackage")
    types = package.function().types()
    kernels = [types[op.inputs["weight"][0].name or ""].shape for op in package.function().operations if op.type == "conv"]
    assert max(shape[-1] or 0 for shape in kernels) <= 13
    assert ("pose_enc" in package.function().outputs) == (name == "nested")
