"""The parity table of exporters/MODELS.md: every model at full size, ONNX Runtime on the CPU against upstream's fp32.

pytest -m slow -s tests/exporters/test_family_table.py -k da3mono      # prints the rows; a giant takes 12 GB
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("depth_anything_3")

from depthport.exporters.api import export  # noqa: E402
from depthport.exporters.core.store import ArtifactStore  # noqa: E402
from depthport.exporters.da3 import host  # noqa: E402
from depthport.exporters.da3.build import named_upstream  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from depthport.runtimes.base import LoadOptions  # noqa: E402
from depthport.runtimes.registry import get_runtime  # noqa: E402

BOUND = 1e-5
REPEATS = 20
RAYS = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view", "ray", "ray_conf")
# model, views, height, width, outputs, weights
CASES: list[tuple[str, int, int, int, tuple[str, ...] | None, str]] = [
    *(("da3mono-large", views, 70, 98, None, "synthetic:0") for views in (1, 2, 3)),
    ("da3mono-large", 1, 252, 336, None, "synthetic:0"),
    ("da3mono-large", 1, 70, 98, None, "synthetic:1,outliers"),
    *(("da3metric-large", views, 70, 98, None, "synthetic:0") for views in (1, 3)),
    *(("da3-giant", views, 70, 98, None, "synthetic:0") for views in (1, 2, 3)),
    ("da3-small", 1, 70, 98, RAYS, "synthetic:0"),
    ("da3-small", 3, 252, 336, RAYS, "synthetic:0"),
    ("da3-base", 2, 70, 98, RAYS, "synthetic:0"),
    ("da3-large", 3, 70, 98, RAYS, "synthetic:0"),
]


@lru_cache(maxsize=1)
def upstream(model: str, weights: str) -> Any:
    return named_upstream(model, weights)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, (*case[:4], case[5], bool(case[4])))))
def test_onnx_equals_upstream_at_full_width(case: tuple[Any, ...], tmp_path: Path) -> None:
    model, views, height, width, outputs, weights = case
    image = torch.randn(1, views, 3, height, width, generator=torch.Generator().manual_seed(views))
    artifact = export(
        model, format="onnx", views=views, height=height, width=width, outputs=outputs, weights=weights,
        store=ArtifactStore(tmp_path),
    ).artifact  # fmt: skip
    names = [spec.name for spec in artifact.manifest.outputs]
    raw = upstream_forward(upstream(model, weights), image, names)
    expected = host.apply(artifact.manifest.host_steps, {name: value.numpy() for name, value in raw.items()})
    with get_runtime("onnxruntime").load(artifact, "cpu", LoadOptions(threads=1)) as session:
        session.bind({"image": image.numpy()})
        session.run()
        session.synchronize()
        found = session.outputs()
        for _ in range(REPEATS - 1):
            session.run()
            session.synchronize()
            again = session.outputs()
            assert all(np.array_equal(found[name], again[name]) for name in names)
    errors = {name: relative_l2(found[name], expected[name]) for name in names if name != "reference_view"}
    figures = " · ".join(f"{name} {error:.1e}" for name, error in errors.items())
    print(f"\n| `{model}` | {views} | {height}×{width} | {weights} | {figures} |")
    assert np.array_equal(found.get("reference_view", 0), expected.get("reference_view", 0))
    assert max(errors.values()) <= BOUND


def relative_l2(value: Any, reference: Any) -> float:
    difference = np.linalg.norm((value.astype(np.float64) - reference).ravel())
    return float(difference / np.linalg.norm(reference.astype(np.float64).ravel()))
