"""Numbers and names that people type: nonsense is refused in one line, the nearest right name is offered."""

from __future__ import annotations

import math

import pytest

from depthport.exporters.core import asked
from depthport.exporters.core.asked import Bounds, known_name
from depthport.exporters.core.errors import UsageError

EVERY = [value for value in vars(asked).values() if isinstance(value, Bounds)]


@pytest.mark.parametrize("bounds", EVERY, ids=lambda bounds: bounds.option)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -1.0, 1e308, 1e12, 10**400, -(10**400)])
def test_nonsense_is_refused_for_every_option(bounds: Bounds, value: float) -> None:
    with pytest.raises(UsageError, match=f"^{bounds.option} is .*: it must be ") as refused:
        bounds.check(value)
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize("bounds", EVERY, ids=lambda bounds: bounds.option)
def test_what_lies_within_is_taken(bounds: Bounds) -> None:
    for value in (None, bounds.high, bounds.low if not bounds.above_low else bounds.high / 2):
        bounds.check(value)
    if bounds.above_low:
        with pytest.raises(UsageError, match="above 0"):
            bounds.check(bounds.low)


@pytest.mark.parametrize("value", [0, -1, 1_000_000])
def test_threads(value: int) -> None:
    with pytest.raises(UsageError, match="at least 1 and at most 1,024"):
        asked.THREADS.check(value)


@pytest.mark.parametrize(
    ("name", "near"),
    [("onxruntime", "onnxruntime"), ("ONNXRUNTIME", "onnxruntime"), ("pytroch", "pytorch"), ("nope", None), ("", None)],
)
def test_the_nearest_name_is_offered(name: str, near: str | None) -> None:
    with pytest.raises(UsageError, match=f"unknown runtime '{name}'") as refused:
        known_name("runtime", name, ["coreml", "onnxruntime", "pytorch"])
    assert ("did you mean" in str(refused.value)) is (near is not None)
    assert near is None or f"did you mean '{near}'?" in str(refused.value)
    assert "coreml, onnxruntime, pytorch" in str(refused.value)
