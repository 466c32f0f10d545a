"""Invalid arrays and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.exporters.core.artifact import TensorSpec
from depthport.exporters.core.errors import InputError
from depthport.runtimes.arrays import check_arrays, check_finite

SPECS = (TensorSpec("image", (1, 2), "float32"),)


@pytest.mark.parametrize("given", [[[1.0, 2.0]], None, 3.0, "text"])
def test_what_is_not_an_array_is_one_line(given: object) -> None:
    with pytest.raises(InputError, match=f"is a {type(given).__name__}, not a numpy array") as raised:
        check_arrays({"image": given}, SPECS, InputError, "input")  # type: ignore[dict-item]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_numbers_that_are_none_are_counted(value: float, dtype: type) -> None:
    image: NDArray[Any] = np.ones((3, 4), dtype)
    image[1, 2] = value
    with pytest.raises(InputError, match=r"'image' holds NaN or infinity \(1 of its 12 values\)"):
        check_finite({"image": image})


def test_large_numbers_are_numbers() -> None:
    check_finite(
        {"image": np.full(9, np.finfo(np.float32).max), "views": np.arange(3), "half": np.full(9, 6e4, np.float16)}
    )
