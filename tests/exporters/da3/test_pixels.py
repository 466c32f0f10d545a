"""Resize and normalisation inside a network, against OpenCV and against the host's preprocessing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

cv2 = pytest.importorskip("cv2")

from depthport.exporters.core.artifact import Shape  # noqa: E402
from depthport.exporters.core.errors import InputError, UsageError  # noqa: E402
from depthport.exporters.da3.static.pixels import FromPixels, PixelResize  # noqa: E402
from depthport.exporters.inputs.preprocess import (  # noqa: E402
    Resize,
    apply_to_rgb,
    exact_steps,
    normalise,
    steps_from_json,
    steps_to_json,
    validate_source,
)


def photograph(height: int, width: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (5, 5), 1.2)


def resized(rgb: Any, step: Resize) -> Any:
    found = PixelResize(step)(torch.from_numpy(rgb).permute(2, 0, 1)[None].float())
    return found[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((480, 640), (378, 504)),
        ((284, 504), (280, 504)),
        ((400, 600), (200, 300)),
        ((300, 400), (75, 100)),
        ((300, 401), (90, 91)),
        ((90, 600), (90, 300)),
        ((1500, 1100), (252, 182)),
    ],
)
def test_shrinking_gives_opencvs_bits(source: tuple[int, int], target: tuple[int, int]) -> None:
    rgb = photograph(*source)
    step = Resize((source[1], source[0]), target[1], target[0], upscale=False)
    np.testing.assert_array_equal(resized(rgb, step), apply_to_rgb(rgb, (step,)))


@pytest.mark.parametrize(
    ("source", "target"), [((100, 150), (168, 252)), ((95, 250), (98, 252)), ((33, 252), (28, 252)), ((3, 9), (28, 84))]
)
def test_enlarging_is_opencvs_but_for_ties(source: tuple[int, int], target: tuple[int, int]) -> None:
    """A pixel whose sum lies between two values may go the other way: the order of summation is the processor's."""
    rgb = photograph(*source)
    step = Resize((source[1], source[0]), target[1], target[0], upscale=True)
    difference = np.abs(resized(rgb, step) - apply_to_rgb(rgb, (step,)))
    ties = 1e-4 if min(source) > 9 else 0.1
    assert difference.max() <= 1 and np.count_nonzero(difference) <= ties * difference.size


class Echo(torch.nn.Module):
    output_names = ("image",)

    def forward(self, image: Any) -> Any:
        return (image,)


@pytest.mark.parametrize("source", [None, (140, 196), (200, 150), (70, 301), (50, 60)])
def test_the_whole_of_it_is_the_hosts(source: tuple[int, int] | None) -> None:
    height, width = source or (70, 98)
    rgb = np.stack([photograph(height, width, seed) for seed in range(6)])
    steps = () if source is None else exact_steps((width, height), 70, 98)
    expected = normalise(np.stack([apply_to_rgb(view, steps) for view in rgb]))
    net = FromPixels(Echo(), source, (70, 98))
    (found,) = net(torch.from_numpy(rgb).unflatten(0, (2, 3)))
    assert found.shape == (2, 3, 3, 70, 98)
    difference = np.abs(found.flatten(0, 1).numpy() - expected)
    if any(isinstance(step, Resize) and step.upscale for step in steps):
        assert np.count_nonzero(difference) <= 1e-4 * difference.size
    else:
        assert not difference.any()


def test_steps_survive_a_manifest() -> None:
    for source in ((1920, 1080), (300, 301), (50, 60)):
        steps = exact_steps(source, 70, 98)
        assert steps and steps_from_json(steps_to_json(steps)) == steps


@pytest.mark.parametrize(
    ("source", "dynamic", "complaint"),
    [
        ((0, 5), (), "source size 0x5 must be"),
        ((100, 100), ("size",), "a graph with open size can't resize"),
        ((5, 3000), (), "too thin"),
    ],
)
def test_impossible_sources_are_refused(source: tuple[int, int], dynamic: tuple[str, ...], complaint: str) -> None:
    with pytest.raises((UsageError, InputError), match=complaint):
        validate_source(source, Shape(1, 1, 70, 98), dynamic)
