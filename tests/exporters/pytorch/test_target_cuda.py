"""Target `cuda` of the exporter `pytorch`: the fused network as a file, readable on any device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from depthport.exporters.core.store import Stored

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from safetensors.torch import save_file  # noqa: E402

from depthport.exporters.core.artifact import Artifact  # noqa: E402
from depthport.exporters.core.errors import LoadError, UnsupportedError, UsageError  # noqa: E402
from depthport.exporters.da3.fused.network import FusedDA3  # noqa: E402
from depthport.exporters.da3.fused.stored import NETWORK_FILE  # noqa: E402
from depthport.runtimes.base import LoadOptions  # noqa: E402
from depthport.runtimes.pytorch.graph import FusedSession  # noqa: E402
from depthport.runtimes.pytorch.program import load_fused  # noqa: E402
from tests.conftest import export_small  # noqa: E402


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return _export(tmp_path_factory.mktemp("fused"), "bf16-fp16", "cuda").artifact


def test_the_file_is_the_fused_network(artifact: Artifact) -> None:
    from depthport.exporters.core.precision import POLICIES
    from depthport.exporters.da3.build import named_upstream
    from depthport.exporters.da3.fused.network import build_fused

    fused = build_fused(named_upstream("da3-small", "synthetic:0"), 1, 2, 28, 42, None, POLICIES["bf16-fp16"])
    image = torch.randn(1, 2, 3, 28, 42, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = load_fused(artifact, torch.device("cpu"))(image)
        expected = fused(image)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_the_file_holds_each_tensor_once_in_the_dtype_it_runs_in(artifact: Artifact) -> None:
    network = load_fused(artifact, torch.device("cpu"))
    assert isinstance(network, FusedDA3)
    tensors = [*network.parameters(), *network.buffers()]
    assert {info.path for info in artifact.manifest.files} == {NETWORK_FILE}
    assert artifact.manifest.size_bytes < 1.02 * sum(tensor.nbytes for tensor in tensors)
    matrices = [p for p in network.backbone.parameters() if p.dim() == 2]
    assert {p.dtype for p in matrices} == {torch.bfloat16}
    assert artifact.manifest.options["target"] == "cuda"


def test_a_damaged_file_says_what_to_do(artifact: Artifact, tmp_path: Path) -> None:
    whole = artifact.file(NETWORK_FILE).read_bytes()
    for content in (whole[: len(whole) // 2], b"no tensors", b""):
        (tmp_path / NETWORK_FILE).write_bytes(content)
        with pytest.raises(LoadError, match="export it again"):
            load_fused(Artifact(tmp_path, artifact.manifest), torch.device("cpu"))


IDENTITY = {"class": "Identity", "values": {}, "parameters": {}, "buffers": [], "modules": {}}


@pytest.mark.parametrize(
    ("layout", "tree", "reason"),
    [
        ("0", IDENTITY, "layout 0, not 1"),
        ("1", IDENTITY, "it holds a Identity, not a network"),
        ("1", {**IDENTITY, "class": "os.system"}, "does not hold a network"),
        ("1", {**IDENTITY, "values": {"forward": 1}}, "gives a Identity a 'forward'"),
        ("1", {**IDENTITY, "values": {"_modules": {}}}, "gives a Identity a '_modules'"),
        ("1", {**IDENTITY, "values": {"a b": 1}}, "gives a Identity a 'a b'"),
        ("1", {**IDENTITY, "values": {"a": {"open": ["/"]}}}, "does not hold a network"),
        ("1", {**IDENTITY, "parameters": {"weight": True}}, "export it again"),
        ("1", [], "does not hold a network"),
    ],
)
def test_what_is_no_network_of_ours_is_refused(
    artifact: Artifact, tmp_path: Path, layout: str, tree: dict[str, object], reason: str
) -> None:
    metadata = {"layout": layout, "network": json.dumps(tree)}
    save_file({"a": torch.zeros(1)}, tmp_path / NETWORK_FILE, metadata=metadata)
    with pytest.raises(LoadError, match=reason):
        load_fused(Artifact(tmp_path, artifact.manifest), torch.device("cpu"))


@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed"])
def test_a_precision_without_fused_kernels_is_refused(tmp_path: Path, precision: str) -> None:
    with pytest.raises(UnsupportedError, match="use bf16-fp16"):
        _export(tmp_path, precision, "cuda")


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose 'cuda'"):
        _export(tmp_path, "fp16", "sm89")


def test_the_mode_refuses_a_portable_artifact(tmp_path: Path) -> None:
    portable = _export(tmp_path, "fp16", None).artifact
    with pytest.raises(UnsupportedError, match="--target cuda"):
        FusedSession(portable, "cpu", LoadOptions())


@pytest.mark.parametrize("source_size", [None, (56, 90)])
def test_pixels_go_in_where_they_are_asked_for(
    artifact: Artifact, tmp_path: Path, source_size: tuple[int, int] | None
) -> None:
    """Resize (and here a crop) and normalisation before the very same network, stored with it."""
    import numpy as np

    from depthport.exporters.inputs.preprocess import apply_to_rgb, exact_steps, normalise

    made = _export(tmp_path, "bf16-fp16", "cuda", preprocess=True, source_size=source_size).artifact
    size = source_size or (28, 42)
    assert made.manifest.inputs[0].shape == (1, 2, *size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    shrunk = np.stack([apply_to_rgb(view, exact_steps(size[::-1], 28, 42)) for view in pixels])
    with torch.inference_mode():
        found = load_fused(made, torch.device("cpu"))(torch.from_numpy(pixels[None]))
        expected = load_fused(artifact, torch.device("cpu"))(torch.from_numpy(normalise(shrunk)[None]))
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def _export(root: Path, precision: str, target: str | None, **options: object) -> Stored:
    from depthport.exporters.core.store import ArtifactStore

    small = {"views": 2, "height": 28, "width": 42, **options}
    return export_small(ArtifactStore(root), "pytorch", precision=precision, target=target, **small)
