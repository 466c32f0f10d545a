"""Lowering for real, of a network of three operators: what no runtime here executes is computed all the same."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from depthport.exporters.core.isolation import call_isolated
from depthport.exporters.executorch.convert import lower
from depthport.exporters.executorch.exporter import COREML_EXTENSION, ExecuTorchExporter
from tests.support.tiny import SHAPE, TINY_OUTPUTS, tiny_network, tiny_program


@pytest.fixture(params=["coreml", "vulkan"])
def backend(request: pytest.FixtureRequest) -> str:
    if reason := ExecuTorchExporter().probe():
        pytest.skip(reason)
    name: str = request.param
    if name == "coreml" and find_spec(COREML_EXTENSION) is None:
        pytest.skip("ExecuTorch's package has no Core ML lowering for this system and Python")
    return name


def test_the_lowered_graph_computes_the_network(backend: str, tmp_path: Path) -> None:
    """Each stretch that the backend took over is read back in its place."""
    import torch

    image = np.random.default_rng(0).standard_normal((1, SHAPE.views, 3, SHAPE.height, SHAPE.width), np.float32)
    np.savez(tmp_path / "inputs.npz", image=image)
    arguments = {
        "program": tiny_program(tmp_path).name, "model": "model.pte", "backend": backend,
        "inputs": "inputs.npz", "outputs": "outputs.npz", "names": TINY_OUTPUTS,
    }  # fmt: skip
    lowering = call_isolated(lower, arguments, tmp_path, programs=("flatc",)).value
    # What stays outside is the reference view's: Vulkan has no argmax of one dimension.
    assert lowering["delegated_share"] >= 0.95 and not [name for name in lowering["other_nodes"] if "conv" in name]
    assert (tmp_path / "model.pte").stat().st_size > 4 * sum(p.numel() for p in tiny_network().parameters())
    with np.load(tmp_path / "outputs.npz") as found, torch.inference_mode():
        for name, expected in zip(TINY_OUTPUTS, tiny_network()(torch.from_numpy(image)), strict=True):
            assert found[name].dtype == expected.numpy().dtype
            np.testing.assert_allclose(found[name], expected.numpy(), rtol=1e-5)
