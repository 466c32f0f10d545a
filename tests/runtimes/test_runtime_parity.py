"""Every format and mode computes what upstream computes, at 70×98, for every number of views.

The reference is upstream's own network in fp32 on the same inputs and weights.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.runtimes.base import Arrays, LoadOptions
from depthport.runtimes.registry import get_runtime
from tests.conftest import Exported
from tests.runtimes.conftest import THREADS

torch = pytest.importorskip("torch")

SCENES = [(1, 1), (1, 2), (1, 3), (1, 5), (2, 3)]
"""(batch, views): no reference view, two views, one chosen, more, and two scenes at once."""


def image(batch: int, views: int) -> NDArray[np.float32]:
    """Smooth random images, (B, N, 3, 70, 98): each channel a random plane plus noise."""
    rng = np.random.default_rng(batch * 10 + views)
    y, x = np.mgrid[-1:1:70j, -1:1:98j]
    slope = rng.standard_normal((2, batch, views, 3, 1, 1))
    noise = 0.3 * rng.standard_normal((batch, views, 3, 70, 98))
    plane: NDArray[np.float32] = (slope[0] * y + slope[1] * x + noise).astype(np.float32)
    return plane


@cache
def upstream(batch: int, views: int) -> Arrays:
    return upstream_of(image(batch, views))


def upstream_of(images: NDArray[np.float32]) -> Arrays:
    from depthport.exporters.da3.build import named_upstream
    from depthport.exporters.da3.upstream import upstream_forward

    network = named_upstream("da3-small", "synthetic:0")
    found = upstream_forward(network, torch.from_numpy(images))
    return {name: value.numpy() for name, value in found.items()}


def infer(runtime: str, artifact: Any, inputs: NDArray[np.float32], mode: str | None = None) -> Arrays:
    with get_runtime(runtime).load(artifact, "cpu", LoadOptions(mode=mode, threads=THREADS)) as session:
        session.bind({"image": inputs})
        session.run()
        session.synchronize()
        return session.outputs()


def check(found: Arrays, expected: Arrays, rel_l2: float) -> None:
    assert list(found) == list(expected)
    for name, reference in expected.items():
        if reference.dtype.kind == "i":
            np.testing.assert_array_equal(found[name], reference, err_msg=name)
        else:
            error = np.linalg.norm(found[name] - reference) / np.linalg.norm(reference)
            assert error <= rel_l2, f"{name}: {error:.2e} relative L2"


@pytest.mark.parametrize(("batch", "views"), SCENES)
def test_onnx_on_onnxruntime(exported: Exported, batch: int, views: int) -> None:
    pytest.importorskip("onnxruntime")
    artifact = exported("onnx", views=views, batch=batch)
    check(infer("onnxruntime", artifact, image(batch, views)), upstream(batch, views), 1e-5)


@pytest.mark.parametrize(("batch", "views"), SCENES)
def test_program_eager(exported: Exported, batch: int, views: int) -> None:
    artifact = exported("pytorch", views=views, batch=batch)
    check(infer("pytorch", artifact, image(batch, views), "eager"), upstream(batch, views), 1e-6)


PHONES = [(runtime, views) for runtime in ("litert", "executorch") for views in (1, 2, 3, 5)]


@pytest.mark.parametrize(
    ("runtime", "views"), [pytest.param(*cell, marks=() if cell == ("litert", 3) else pytest.mark.slow) for cell in PHONES]
)
def test_phone_formats(exported: Exported, runtime: str, views: int) -> None:
    """Each is a format and its runtime; a conversion takes half a minute of processor time."""
    from depthport.exporters.registry import get_exporter

    if reason := get_exporter(runtime).probe():
        pytest.skip(reason)
    check(infer(runtime, exported(runtime, views=views), image(1, views)), upstream(1, views), 1e-5)


def test_program_is_the_static_network_itself(exported: Exported) -> None:
    """Saving, borrowing parameters and loading change nothing that fp32 shows."""
    from depthport.exporters.core.precision import resolve_policy
    from depthport.exporters.da3.build import named_upstream
    from depthport.exporters.da3.static.network import build_static

    network = named_upstream("da3-small", "synthetic:0")
    static = build_static(network, 1, 3, 70, 98, None, resolve_policy("fp32"))
    with torch.inference_mode():
        outputs = static(torch.from_numpy(image(1, 3)))
    expected = {name: value.numpy() for name, value in zip(static.output_names, outputs, strict=True)}
    check(infer("pytorch", exported("pytorch", views=3), image(1, 3), "eager"), expected, 1e-6)


def test_upstream_mode_is_upstream(exported: Exported) -> None:
    artifact = exported("pytorch", views=3)
    check(infer("pytorch", artifact, image(1, 3), "upstream"), upstream(1, 3), 1e-6)


@pytest.mark.slow
def test_program_compiled(exported: Exported) -> None:
    artifact = exported("pytorch", views=3)
    check(infer("pytorch", artifact, image(1, 3), "compile"), upstream(1, 3), 1e-5)
