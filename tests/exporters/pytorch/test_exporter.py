"""What the exporter `pytorch` writes: upstream can read it, and no parameter is in it twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.store import ArtifactStore
from tests.conftest import export_small

torch = pytest.importorskip("torch")

# Upstream's API module imports much that the network never uses; what of it is missing here is replaced by a mock.
FROM_PRETRAINED = """
import importlib.abc, importlib.machinery, sys
from unittest.mock import MagicMock

UNUSED = {"evo", "e3nn", "gsplat", "matplotlib", "moviepy", "open3d", "plyfile", "pycolmap", "torchvision", "trimesh"}

class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in UNUSED:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        return MagicMock(__spec__=spec, __path__=[])
    def exec_module(self, module):
        pass

sys.meta_path.append(Absent())
from depth_anything_3.api import DepthAnything3
model = DepthAnything3.from_pretrained(sys.argv[1])
import safetensors.torch, torch
stored = safetensors.torch.load_file(sys.argv[1] + "/model.safetensors")
state = model.state_dict()
assert set(state) == set(stored), set(state) ^ set(stored)
# Keys of one shared module (the ray head's LayerNorm) name one tensor in the network; the last of them is what it is.
last = {tensor.data_ptr(): key for key, tensor in state.items()}
assert all(torch.equal(state[key], stored[key]) for key in last.values())
print(model.model_name, len(stored))
"""


@pytest.fixture(scope="module")
def artifact(store: ArtifactStore) -> Artifact:
    return export_small(store, "pytorch").artifact


def test_upstreams_own_loader_reads_it(artifact: Artifact) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FROM_PRETRAINED, str(artifact.path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith("da3-small ")


def test_files(artifact: Artifact) -> None:
    manifest = artifact.manifest
    assert {info.path for info in manifest.files} == {"config.json", "model.safetensors", "program.pt2"}
    assert json.loads(artifact.file("config.json").read_text()) == {"model_name": "da3-small"}
    artifact.verify()
    assert manifest.export_s is not None and manifest.export_s > 0
    assert manifest.weights.synthetic


def test_no_parameter_is_stored_twice(artifact: Artifact) -> None:
    """What the program holds of its own is what upstream does not have as it is: tables, concatenated projections."""
    program, weights = (artifact.file(name).stat().st_size for name in ("program.pt2", "model.safetensors"))
    assert program < 0.05 * weights
    assert artifact.manifest.extra["borrowed_parameters"] > 250
    assert artifact.manifest.extra["own_parameters"] < 10


@pytest.mark.parametrize("name", ["program.pt2", "model.safetensors", "artifact.json"])
def test_no_path_of_this_machine_is_in_it(artifact: Artifact, name: str) -> None:
    content = (artifact.path / name).read_bytes()
    for path in (Path.cwd(), Path(torch.__file__).parent.parent, artifact.path.parent):
        assert str(path).encode() not in content


def test_rounded_parameters_are_borrowed_too() -> None:
    from depthport.exporters.pytorch.exporter import borrow_parameters, program_bytes
    from tests.support.tiny import tiny_network

    network = tiny_network()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.second.to(torch.bfloat16)
    network.forward = lambda image: (network.second(torch.relu(network.first(image)).to(torch.bfloat16)),)
    program = torch.export.export(network, (torch.zeros(1, 3, 70, 98),))
    borrowed = borrow_parameters(program, state)
    assert borrowed == {name: f"model.{name}" for name in state}
    assert program.state_dict["second.weight"].dtype == torch.bfloat16
    assert len(program_bytes(program, borrowed)) < 100_000


def test_a_parameter_that_upstream_does_not_have_stays() -> None:
    from depthport.exporters.pytorch.exporter import borrow_parameters
    from tests.support.tiny import tiny_network

    network = tiny_network()
    state = network.state_dict()
    state["first.weight"] = state["first.weight"] * 2
    program = torch.export.export(network, (torch.zeros(1, 2, 3, 70, 98),))
    assert "first.weight" not in borrow_parameters(program, state)
    assert torch.equal(program.state_dict["first.weight"], network.first.weight)
