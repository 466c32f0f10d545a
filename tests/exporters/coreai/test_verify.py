"""The parity gate's arithmetic, on arrays."""

from __future__ import annotations

import numpy as np
import pytest

from depthport.exporters.core.errors import ExportError
from depthport.exporters.coreai.verify import LIMIT, _as_far_as, compare, distance
from depthport.runtimes.base import Arrays

DEPTH = np.array([3.0, 4.0], np.float32)
VIEW = np.array([1, 2], np.int64)


def test_distance_is_relative_l2() -> None:
    assert distance(DEPTH + np.float32(0.5), DEPTH) == pytest.approx(0.5 * 2**0.5 / 5)
    assert distance(DEPTH * np.float32(np.nan), DEPTH) == float("inf")
    assert distance(np.array([1, 0]), VIEW) == 0.5
    assert distance(np.zeros(2), np.zeros(2)) == 0


def test_every_output_keeps_the_limit_and_a_view_is_the_same() -> None:
    wanted: Arrays = {"depth": DEPTH, "reference_view": VIEW}
    near = {"depth": DEPTH * np.float32(1 + 5e-6), "reference_view": VIEW}
    far = {"depth": DEPTH * np.float32(1.0001), "reference_view": VIEW + 1}
    assert all(error.right for error in compare(near, wanted, LIMIT).values())
    assert not any(error.right for error in compare(far, wanted, LIMIT).values())


def test_where_rounding_is_larger_it_is_the_yardstick() -> None:
    wanted: Arrays = {"depth": DEPTH, "reference_view": VIEW}
    other = {**wanted, "depth": DEPTH * np.float32(1.001)}
    errors = _as_far_as({"depth": DEPTH * np.float32(1.002), "reference_view": VIEW}, wanted, other, 3.0)
    assert errors["depth"].right and errors["depth"].limit == pytest.approx(3e-3, rel=1e-3)
    assert errors["reference_view"].limit == 0
    assert not _as_far_as({"depth": DEPTH * np.float32(1.01), "reference_view": VIEW}, wanted, other, 3.0)["depth"].right


@pytest.mark.parametrize(
    ("found", "complaint"), [({}, "no output 'depth'"), ({"depth": DEPTH[:1]}, r"is \(1,\), not \(2,\)")]
)
def test_missing_and_misshapen_outputs(found: Arrays, complaint: str) -> None:
    with pytest.raises(ExportError, match=complaint):
        compare(found, {"depth": DEPTH}, LIMIT)
