"""Digits that the interval supports."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthport.bench.statistics.digits import decimals, format_error, format_interval, format_ratio, format_value
from depthport.exporters.core.errors import UsageError

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")


def around(value: float, half: float) -> tuple[float, float]:
    return (value - half, value + half)


@pytest.mark.parametrize(
    ("half", "places"),
    [
        (0.123, 2),
        (0.354, 2),
        (0.355, 1),
        (0.42, 1),
        (0.95, 1),
        (0.999, 1),
        (1.0, 1),
        (3.5, 1),
        (4.2, 0),
        (12.0, 0),
        (42.0, -1),
        (340.0, -1),
        (1e-4, 5),
    ],
)
def test_places_by_the_rule_of_the_particle_data_group(half: float, places: int) -> None:
    assert decimals(half) == places


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_places_refuse(bad: float) -> None:
    with pytest.raises(UsageError):
        decimals(bad)


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (20.1337, 0.123, "20.13 ms"),
        (20.1337, 0.42, "20.1 ms"),
        (20.1337, 4.2, "20 ms"),
        (9018.0, 42.0, "9020 ms"),
        (9018.0, 340.0, "9020 ms"),
        (9018.0, 420.0, "9000 ms"),
        (19.999, 0.12, "20.00 ms"),
        (0.5, 42.0, "0 ms"),
        (-0.001, 0.42, "0.0 ms"),
    ],
)
def test_latency(value: float, half: float, text: str) -> None:
    assert format_value(value, around(value, half), "ms") == text


def test_units() -> None:
    assert format_value(248.36, around(248.36, 1.2), "img/s") == "248.4 img/s"
    assert format_ratio(3.8149, around(3.8149, 0.042)) == "3.81×"
    assert format_value(1412.6, around(1412.6, 42.0), "MiB") == "1410 MiB"
    assert format_value(12.34, around(12.34, 1.0), "%") == "12.3%"


def test_without_an_interval_the_error_is_unknown_and_said_to_be() -> None:
    assert format_value(20.1337, None, "ms") == "≈20 ms"
    assert format_value(0.012345, None, "ms") == "≈0.012 ms"
    assert format_value(9018.0, None, "ms") == "≈9000 ms"
    assert format_value(0.0, None, "ms") == "≈0 ms"


def test_equal_samples_do_not_print_all_their_digits() -> None:
    assert format_value(20.123456, (20.123456, 20.123456), "ms") == "20.12 ms"
    assert format_value(20.123456, (20.123455999999, 20.123456000001), "ms") == "20.1235 ms"
    assert format_value(0.0, (0.0, 0.0), "ms") == "0 ms"


def test_what_was_not_measured_is_a_dash() -> None:
    assert [f(None) for f in (format_value, format_ratio, format_error)] == ["–"] * 3
    assert format_interval(None, None, "ms") == "–"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_is_refused(bad: float) -> None:
    for function in (format_value, format_ratio, format_error):
        with pytest.raises(UsageError, match="null"):
            function(bad)
    with pytest.raises(UsageError, match="null"):
        format_interval(1.0, (0.0, bad))


def test_interval_bounds_are_rounded_outward() -> None:
    assert format_interval(20.1337, (20.0149, 20.2601), "ms") == "20.13 [20.01, 20.27] ms"
    assert format_interval(1.05, (1.0213, 1.0796), "×") == "1.050× [1.021, 1.080]"
    assert format_interval(9018.0, (8981.0, 9061.0), "ms") == "9020 [8980, 9070] ms"
    assert format_interval(1.5, (1.2, 1.8)) == "1.50 [1.20, 1.80]"  # already at their place: float error does not move them
    assert format_interval(20.0, None, "ms") == "≈20 ms"


@pytest.mark.parametrize(("value", "text"), [(1.26e-6, "1.3e-06"), (0.5, "5.0e-01"), (0.0, "0"), (-2e-9, "-2.0e-09")])
def test_relative_errors(value: float, text: str) -> None:
    assert format_error(value) == text


@given(st.floats(1e-3, 1e6), st.floats(1e-4, 0.5))
def test_printed_interval_covers_the_computed_one_and_the_value(value: float, relative: float) -> None:
    low, high = value * (1 - relative), value * (1 + relative)
    numbers = [float(text) for text in re.findall(r"[-\d.]+", format_interval(value, (low, high)))]
    slack = 1e-8 * value
    assert numbers[1] <= low + slack
    assert numbers[2] >= high - slack
    assert abs(numbers[0] - value) <= 0.15 * (high - low) / 2 + slack


@given(st.floats(1e-3, 1e6), st.floats(1e-4, 0.5))
def test_rounding_never_costs_more_than_a_seventh_of_the_half_width(value: float, relative: float) -> None:
    half = value * relative
    assert 0.5 * 10.0 ** -decimals(half) <= half / 7.0 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("value", "ci95", "text"),
    [
        (219.6, (3.14, 19_999.0), "200 [3.1, 20000]"),
        (276.0, (0.0, 1.7e6), "300 [0, 1700000]"),
        (2.03, (0.061, 57.9), "2 [0, 58]"),
        (380.0, (290.0, 490.0), "380 [290, 490]"),
    ],
)
def test_an_interval_wider_than_its_value_hides_neither(value: float, ci95: tuple[float, float], text: str) -> None:
    assert format_interval(value, ci95) == text
