"""Assets of the real network: made, run by Core AI's own runtime, held to upstream; wrong ones refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from depthport.exporters.core.store import ArtifactStore
from tests.conftest import Exported

pytestmark = pytest.mark.usefixtures("packages")

LIMIT = 1e-5


@pytest.mark.parametrize("views", [1, 3])
def test_an_fp32_asset_is_upstream(views: int, exported: Exported) -> None:
    manifest = exported("coreai", views=views).manifest
    checks = manifest.extra["checks"]
    assert checks["shape"] == f"1x{views}x70x98" and checks["reference"] == "upstream fp32"
    assert set(checks["outputs"]) == {spec.name for spec in manifest.outputs}
    for name, error in checks["outputs"].items():
        assert error["relative"] <= (0 if name == "reference_view" else LIMIT)
    assert "its outputs match upstream's to" in manifest.extra["verified"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"views": 2},
        {"views": 5},
        {"views": 3, "batch": 2},
        {"views": 3, "pose_input": True},
        {"preprocess": True},
        {"source_size": (120, 200)},
        {"outputs": ["depth", "ray", "ray_conf", "extrinsics"]},
        {"weights": "synthetic:0,outliers", "views": 3},
    ],
    ids=str,
)
def test_whatever_goes_in_and_comes_out(changes: dict[str, Any], exported: Exported) -> None:
    checks = exported("coreai", **changes).manifest.extra["checks"]
    assert all(error["relative"] <= LIMIT for error in checks["outputs"].values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-mono", "tiny-nested", "tiny-swiglu"])
def test_every_family(name: str, store: ArtifactStore, tmp_path: Path) -> None:
    from depthport.exporters.api import export
    from tests.support.family import write_config

    made = export(
        write_config(tmp_path, name), format="coreai", height=70, width=98, weights="synthetic:0", store=store
    ).artifact
    assert all(error["relative"] <= LIMIT for error in made.manifest.extra["checks"]["outputs"].values())


@pytest.mark.slow
def test_fp16_keeps_its_islands_and_is_checked_at_the_smallest_shape(exported: Exported) -> None:
    from coreai.authoring import AIModelAsset

    artifact = exported("coreai", precision="fp16")
    extra = artifact.manifest.extra
    assert extra["checks"]["shape"] == "1x1x14x28"
    assert set(extra["islands"]) == {"residual", "norm", "reference", "camera", "tail"}
    described: Any = AIModelAsset.load(artifact.path / extra["asset"]).summary()
    stored = dict(described.storage_types)
    assert stored["Float16"] > 10 * stored["Float32"] > 0


def test_the_asset_says_what_it_is(exported: Exported) -> None:
    artifact = exported("coreai", views=3)
    said = json.loads((artifact.path / "model.aimodel" / "metadata.json").read_text(encoding="utf-8"))
    assert "SYNTHETIC WEIGHTS" in said["description"] and said["license"] == artifact.manifest.weights.licence
    own = said["creatorDefinedMetadata"]
    assert own["depthport.shape"] == "1x3x70x98" and own["depthport.weights_sha256"] == artifact.manifest.weights.sha256
    assert set(own["depthport.outputs"]) == {spec.name for spec in artifact.manifest.outputs}


def corrupted(network: Any, part: str) -> Any:
    """Change one number in many, as a wrong conversion would."""
    import torch

    with torch.no_grad():
        if part == "epsilon":
            for module in network.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    module.eps *= 100
        elif part == "swapped":
            block = network.backbone.blocks[1].mlp
            weight = next(p for p in block.parameters() if p.ndim == 2)
            weight[[0, 1]] = weight[[1, 0]].clone()
        else:
            network.camera.bias[3] *= 1.001
    return network


@pytest.mark.parametrize("part", ["epsilon", "swapped", "bias"])
def test_a_wrong_conversion_is_refused(part: str, tmp_path: Path) -> None:
    """What is written is another network than upstream's: the gate finds it."""
    from depthport.exporters.api import _context, prepare
    from depthport.exporters.core.errors import ExportError
    from depthport.exporters.core.store import ArtifactStore
    from depthport.exporters.coreai.exporter import ASSET, _Build
    from depthport.exporters.coreai.options import CoreAIOptions
    from depthport.exporters.coreai.verify import verify
    from depthport.exporters.da3.upstream import build_upstream

    request = prepare("da3-small", format="coreai", height=28, width=42, weights="synthetic:0")
    context = _context(request, ArtifactStore(tmp_path / "store"), lambda step: None)
    # A state of its own: the corrupted parameters are upstream's tensors.
    state = {name: tensor.clone() for name, tensor in context.state_dict().items()}
    network = corrupted(context.network(), part)
    _Build(context, CoreAIOptions(verify="none")).asset(request, lambda: network, tmp_path / ASSET)
    with pytest.raises(ExportError, match=r"does not compute the network: .* is off by"):
        verify(tmp_path / ASSET, tmp_path, request, network, lambda: build_upstream(request.model, state))


@pytest.mark.slow
def test_int8_weights_are_judged_by_depth_and_pose(exported: Exported) -> None:
    pytest.importorskip("coreai_opt", reason="coreai-opt not installed")
    plain, small = exported("coreai").manifest, exported("coreai", options={"compress": "int8"}).manifest
    assert small.size_bytes < 0.3 * plain.size_bytes
    for name, error in small.extra["checks"]["outputs"].items():
        assert error["relative"] <= (0 if name == "reference_view" else 0.05)


def test_a_palette_of_sixteen_values(tmp_path: Path) -> None:
    """On a network of three layers: k-means over a real one takes minutes."""
    from shutil import which

    pytest.importorskip("coreai_opt", reason="coreai-opt not installed")
    pytest.importorskip("sklearn", reason="scikit-learn not installed, which coreai-opt's k-means needs")
    if which("c++") is None or which("ninja") is None:
        pytest.skip("no C++ compiler and ninja, with which coreai-opt compiles its k-means")
    import torch
    from coreai.runtime import AIModelAssetMetadata

    from depthport.exporters.coreai.compress import compress
    from depthport.exporters.coreai.convert import capture, convert, save
    from depthport.exporters.coreai.executable import run_asset
    from depthport.exporters.coreai.verify import distance
    from tests.support.tiny import tiny_network

    x = torch.randn(1, 2, 3, 28, 42, generator=torch.Generator().manual_seed(0))
    network = tiny_network()
    program, _ = convert(capture(network, [x]), ["image"], ["depth", "intrinsics", "reference_view"])
    save(compress(program, "palette4"), tmp_path / "model.aimodel", AIModelAssetMetadata(), "iOS27")
    depth = run_asset(tmp_path / "model.aimodel", tmp_path, {"image": x.numpy()})["depth"]
    assert 1e-4 < distance(depth, network(x)[0].numpy()) < 0.1


def test_without_coreai_opt_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from depthport.exporters.core.errors import UnavailableError
    from depthport.exporters.coreai.compress import compress

    monkeypatch.setitem(sys.modules, "coreai_opt", None)
    monkeypatch.setitem(sys.modules, "coreai_opt.coreai_utils", None)
    with pytest.raises(UnavailableError, match=r"option compress needs coreai-opt .*: pip install"):
        compress(cast(Any, None), "int8")
