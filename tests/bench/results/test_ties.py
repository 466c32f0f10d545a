"""A reference view that rounding decides is no failure: a cell is compared with upstream's outputs for its own choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.bench.analysis.parity import parity, violation, worst
from depthport.bench.results.ties import TIED, choice_key


def reference(tied: list[bool], others: list[int]) -> dict[str, Any]:
    """Upstream's depth is the number of its reference view; it chose 0."""
    arrays: dict[str, Any] = {
        "depth": np.ones((1, 3, 2, 2), np.float32), "reference_view": np.array([0]), TIED: np.array([tied]),
    }  # fmt: skip
    for number, view in enumerate(others):
        arrays[choice_key(number, "depth")] = np.full((1, 3, 2, 2), 1.0 + view, np.float32)
        arrays[choice_key(number, "reference_view")] = np.array([view])
    return arrays


def outputs(view: int) -> dict[str, Any]:
    return {"depth": np.full((1, 3, 2, 2), 1.0 + view, np.float32), "reference_view": np.array([view])}


def test_a_tie_is_compared_with_the_choice_that_was_made() -> None:
    found = parity(outputs(2), reference([True, True, True], [1, 2]), (2, 2))
    assert found["reference_view"] == {"equal": True, "tie": True} and found["depth"]["rel_l2"] == 0
    assert violation(found, "fp32") is None
    clear = parity(outputs(0), reference([True, True, True], [1, 2]), (2, 2))
    assert clear["reference_view"] == {"equal": True}
    assert worst([clear, found])["reference_view"] == {"equal": True, "tie": True}


def test_a_wrong_choice_is_a_failure_and_so_are_wrong_figures_of_a_tie() -> None:
    assert "a different reference view" in (
        violation(parity(outputs(2), reference([True, True, False], [1]), (2, 2)), "bf16") or ""
    )
    wrong = {**outputs(2), "depth": outputs(1)["depth"]}
    assert "depth is" in (violation(parity(wrong, reference([True, True, True], [1, 2]), (2, 2)), "fp32") or "")


def test_a_tie_of_more_views_than_upstream_was_run_for_is_said() -> None:
    assert parity(outputs(2), reference([True, True, True], [1]), (2, 2)) == {
        "reference_view": {"equal": True, "tie": True}
    }


@pytest.mark.parametrize("kind", ["black", "duplicates", "clear"])
def test_upstream_on_ties(kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("depth_anything_3")
    from depthport.bench.workers.reference import _forward
    from depthport.exporters.core.files.npz import read_npz, write_npz
    from depthport.exporters.da3.registry import get_model
    from depthport.exporters.da3.ties import forced_choice
    from depthport.exporters.da3.upstream import build_upstream, upstream_forward
    from depthport.exporters.da3.weights import load_state_dict, synthetic_ref

    model = get_model("da3-small")
    net = build_upstream(model, load_state_dict(synthetic_ref(model, 0), model))
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 3, 3, 28, 42)).astype(np.float32)
    if kind == "black":
        image[:] = -2.0
    elif kind == "duplicates":
        image[:, :] = image[:, :1]
    write_npz(tmp_path / "image.npz", {"image": image})
    names = ["depth", "extrinsics", "reference_view"]
    _forward(net, tmp_path / "image.npz", tmp_path / "fp32.npz", names, (), torch.float32, upstream_forward)
    expected = read_npz(tmp_path / "fp32.npz")
    assert expected[TIED].sum() == (1 if kind == "clear" else 3)
    other = (int(expected["reference_view"][0]) + 1) % 3
    with torch.inference_mode(), forced_choice(torch.tensor([other])):
        values = upstream_forward(net, torch.from_numpy(image), names)
    found = parity({name: value.numpy() for name, value in values.items()}, expected, (28, 42))
    assert (violation(found, "fp32") is None) == (kind != "clear"), found
