"""Upstream's processors beside a torchvision, or without one."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthport.exporters.core.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.da3.processors import STAGES, UpstreamInference  # noqa: E402

_SCRIPT = """
import sys
before = set(sys.modules)
from depthport.exporters.da3.processors import input_processor
input_processor()
assert "depth_anything_3.utils.io.input_processor" in sys.modules
input_processor()
print("torchvision" in sys.modules)
"""
_ONCE = """
import torch
if hasattr(torch, "torchvision_was_here"):
    raise RuntimeError("its operators are registered already")
torch.torchvision_was_here = True
"""


@pytest.mark.parametrize("installed", [True, False])
def test_what_is_imported_on_the_way_stays_imported(tmp_path: Path, installed: bool) -> None:
    """torchvision registers operators when it is imported and can't be imported a second time."""
    script = _SCRIPT
    if installed:
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision" / "__init__.py").write_text(_ONCE)
        transforms = "ToTensor = Normalize = CenterCrop = lambda *args, **kwargs: None\n"
        (tmp_path / "torchvision" / "transforms.py").write_text(transforms)
        script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}\nimport torchvision\n"
    elif __import__("importlib.util").util.find_spec("torchvision"):
        pytest.skip("torchvision is installed")
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == str(installed)


def test_inference_is_upstreams_network_on_upstreams_pixels() -> None:
    from depthport.exporters.da3.build import named_upstream
    from depthport.exporters.da3.upstream import upstream_forward
    from depthport.exporters.inputs.preprocess import preprocess

    files, pixels = [], []
    for seed in range(2):
        rgb = np.random.default_rng(seed).integers(0, 256, (48, 60, 3), np.uint8)
        written = io.BytesIO()
        Image.fromarray(rgb).save(written, "PNG")
        files.append(written.getvalue())
        pixels.append(rgb)
    network = named_upstream("da3-small", "synthetic:0")
    inference = UpstreamInference(network, torch.device("cpu"), None)
    found = inference(files, 70)
    image, _ = preprocess(pixels, process_res=70)
    expected = upstream_forward(network, torch.from_numpy(image)[None])
    names = {"depth": "depth", "conf": "depth_conf", "extrinsics": "extrinsics", "intrinsics": "intrinsics"}
    for name, ours in names.items():
        value = getattr(found, name)
        np.testing.assert_array_equal(value[..., :3, :] if name == "extrinsics" else value, expected[ours][0].numpy())
    assert found.processed_images.shape == (2, 56, 70, 3)
    assert tuple(inference.stages_ns) == STAGES and all(value > 0 for value in inference.stages_ns.values())
    with pytest.raises(InputError, match="upstream makes 56x70 of these photographs, not 70x70"):
        inference(files, 70, (70, 70))
