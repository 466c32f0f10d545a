"""Saved packages against upstream and against the network, in the interpreter."""

from __future__ import annotations

from typing import Any

import pytest

from depthport.exporters.core.errors import ExportError
from depthport.exporters.coreml.islands import DENSE_OUTPUTS
from depthport.exporters.coreml.mil.divergence import divergence, largest_jumps
from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.parity import compare, violations
from depthport.exporters.coreml.mil.ranges import HALF_MAX, activation_ranges, tightest
from depthport.exporters.coreml.verify import verify
from depthport.exporters.da3.upstream import upstream_forward
from tests.support.coreml.short import upstream_in_fp64

ISLANDS = ("reference", "camera", "tail")


@pytest.fixture(scope="module")
def half(converted: Any) -> Any:
    return converted("fp16", views=3, islands=ISLANDS, target="iOS18")


def test_fp32_package_equals_upstream(converted: Any, upstream: Any) -> None:
    made = converted("fp32", views=3)
    expected = upstream_forward(upstream, made.examples[0])
    found = Interpreter(made.package.function()).run(made.inputs)
    errors = compare(found, expected)
    assert not violations(errors)
    assert errors["reference_view"].equal
    assert max(errors[name].relative for name in ("extrinsics", "intrinsics")) < 2e-6


def test_fp64_agrees_far_below_fp32_rounding(converted: Any, upstream: Any) -> None:
    """With rounding out of the way on both sides, the package's mathematics is upstream's; poses to 1e-6."""
    made = converted("fp32", views=3)
    expected = upstream_in_fp64(upstream, made.examples[0])
    errors = compare(Interpreter(made.package.function(), "fp64").run(made.inputs), expected)
    for error in errors.values():
        print(f"\n{error.name}: {error.relative:.1e}")
        assert error.equal if error.integer else error.relative < 1e-6


def test_fp16_conversion_is_checked_as_sharply_as_fp32(half: Any) -> None:
    found = verify(half.path, half.network, half.examples, half=True, islands=ISLANDS)
    assert found["conversion"]["depth"]["max_over_std"] < 1e-4
    assert found["declared"]["depth"]["rms_over_std"] < 5e-3
    assert found["declared"]["reference_view"]["equal"]


def test_fp16_with_other_islands_than_it_has_is_refused(half: Any) -> None:
    """The gate sees that the camera decoder's constants are not the rounded ones it is told to expect."""
    with pytest.raises(ExportError, match="does not compute the network"):
        verify(half.path, half.network, half.examples, half=True, islands=("reference", "tail"))


def test_islands_stay_in_fp32(half: Any) -> None:
    function = half.package.function()
    types = function.types()
    by_type = {op.type: op for op in function.operations}
    assert types[by_type["reduce_argmin"].inputs["x"][0].name].dtype == "fp32"
    assert types[by_type["tan"].name].dtype == "fp32"
    assert all(types[name].dtype == "fp32" for name in DENSE_OUTPUTS & set(function.outputs))
    exponentials = [op for op in function.operations if op.type == "exp"]
    assert exponentials and all(types[op.name].dtype == "fp32" for op in exponentials)
    products = [op for op in function.operations if op.type in ("linear", "scaled_dot_product_attention", "gelu")]
    share = sum(types[op.name].dtype == "fp16" for op in products) / len(products)
    assert share > 0.8


@pytest.mark.slow
def test_more_islands_lose_less(converted: Any, half: Any) -> None:
    """A residual stream in fp32 takes most of fp16's error away, as the network's own fp16 policy has it."""
    wide = converted("fp16", views=3, islands=(*ISLANDS, "residual", "norm"), target="iOS18")
    narrow_error, wide_error = (
        compare(Interpreter(m.package.function(), "declared").run(m.inputs), m.expected())["depth"].rms_over_std
        for m in (half, wide)
    )
    assert wide_error < narrow_error


def test_divergence_names_where_fp16_leaves(half: Any) -> None:
    rows = divergence(half.package.function(), half.inputs)
    assert {row.dtype for row in rows} == {"fp16", "fp32"}
    assert all(row.added == 0 for row in rows if row.dtype == "fp32")
    # Half a unit in the last place of fp16 is 2^-11 at most; an operation adds no more by itself.
    assert max(row.added for row in rows) <= 2**-11
    jumps = largest_jumps(rows, 5)
    assert len(jumps) == 5 and all(growth > 0 for _, growth in jumps)


def test_fp32_does_not_diverge(converted: Any) -> None:
    made = converted("fp32", views=3)
    assert not any(row.accumulated for row in divergence(made.package.function(), made.inputs))


def test_activation_ranges(half: Any) -> None:
    rows = activation_ranges(half.package.function(), half.inputs)
    assert len(rows) > 100
    worst = tightest(rows, 3)
    assert worst[0].headroom <= worst[1].headroom <= worst[2].headroom
    assert all(0 < row.largest < HALF_MAX for row in worst)
    assert all(0 <= row.subnormal_share <= 1 for row in rows)


@pytest.mark.parametrize("route", ["export", "trace"])
def test_both_routes_give_the_same_operations(converted: Any, route: str) -> None:
    made = converted("fp32", views=3, route=route)
    kinds = [op.type for op in made.package.function().operations if op.type != "const"]
    other = converted("fp32", views=3, route="export")
    assert sorted(kinds) == sorted(op.type for op in other.package.function().operations if op.type != "const")
    assert not violations(compare(Interpreter(made.package.function()).run(made.inputs), made.expected()))
