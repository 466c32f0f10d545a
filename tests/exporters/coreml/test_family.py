"""The other families through Core ML: giant's blocks, the monocular and the nested network, at reduced depth."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.coreml.convert import convert, save
from depthport.exporters.coreml.network import PackageNetwork, interface, split_patch_convolution
from depthport.exporters.coreml.options import CoreMLOptions
from depthport.exporters.coreml.verify import verify
from depthport.exporters.da3.static.network import build_static
from tests.support.coreml.short import pixels, scene
from tests.support.family import short_upstream, write_config

HEIGHT, WIDTH = 70, 98


@pytest.mark.parametrize(
    ("name", "views", "precision", "ane"),
    [
        ("tiny-nested", 3, "fp32", False),  # holds a monocular network too
        ("tiny-swiglu", 1, "fp32", False),
        pytest.param("tiny-mono", 2, "fp32", False, marks=pytest.mark.slow),
        pytest.param("tiny-mono", 1, "fp16", True, marks=pytest.mark.slow),
        pytest.param("tiny-nested", 1, "fp16", True, marks=pytest.mark.slow),
        pytest.param("tiny-swiglu", 3, "fp16", False, marks=pytest.mark.slow),
    ],
)
def test_packages_compute_the_network(name: str, views: int, precision: str, ane: bool, tmp_path: Path) -> None:
    source = short_upstream(write_config(tmp_path, name))
    policy, options = POLICIES[precision], CoreMLOptions(ane=ane)
    static = build_static(source, 1, views, HEIGHT, WIDTH, None, POLICIES["fp32"])
    face = interface(static.output_names, Shape(1, views, HEIGHT, WIDTH), images=ane, host_pose=ane)
    network = PackageNetwork(static, face, views)
    if ane:
        split_patch_convolution(static)
    examples = pixels(views, WIDTH) if ane else [scene(views, HEIGHT, WIDTH)]
    path = tmp_path / "model.mlpackage"
    save(convert(network, examples, options, policy), path)
    found = verify(path, network, examples, half=precision == "fp16", islands=options.islands)
    assert set(found["conversion"]) == set(face.outputs)
