"""Rounding to 8 bits: grids, GPTQ against plain rounding, balance, and what the mix chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.exporters.quantization.mix import Budget, Loss, choose, give_back, quadrature, scaled
from depthport.exporters.quantization.rounding import ActivationGrid, activation_grid, balance, compensate, round_gptq


def round_nearest(weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Codes and scales where inputs say nothing: every entry on its own."""
    return round_gptq(weight, np.zeros((len(weight), len(weight))))


def on_grid(x: NDArray[Any], grid: ActivationGrid) -> NDArray[Any]:
    low, high = grid.limits
    return (np.clip(np.rint(x / grid.scale) + grid.zero, low, high) - grid.zero) * grid.scale


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 5.0), (-0.17, 6.0), (2.0, 5.0), (-4.0, -1.0), (0.0, 0.0)])
def test_a_grid_holds_zero_exactly_and_its_range_to_half_a_step(low: float, high: float, signed: bool) -> None:
    grid = activation_grid(low, high, signed)
    assert grid.scale > 0
    assert grid.limits[0] <= grid.zero <= grid.limits[1]
    assert not signed or grid.zero == 0, "TensorRT takes no other"
    values = np.append(np.linspace(low, high, 1001), 0.0)
    found = on_grid(values, grid)
    assert found[-1] == 0
    # Rounding the zero may shift the ends of an asymmetric range by half a step more.
    assert np.abs(found - values).max() <= grid.scale * (0.5 if signed else 1.0) + 1e-9


def test_nearest_rounding_is_within_half_a_step_of_each_column() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32) * np.logspace(-3, 2, 8)
    weight[:, 3] = 0
    codes, scales = round_nearest(weight)
    assert codes.dtype == np.int8
    assert (np.abs(codes).max(axis=0)[[0, 1, 2, 4, 5, 6, 7]] == 127).all()
    assert (np.abs(codes * scales - weight) <= scales / 2 * 1.001).all()


def test_gptq_keeps_products_better_where_inputs_are_correlated() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((400, 24)) @ rng.standard_normal((24, 160)) + 0.05 * rng.standard_normal((400, 160))
    weight = rng.standard_normal((160, 32)).astype(np.float32)
    held_out = rng.standard_normal((100, 400)) @ inputs / 20
    errors = []
    for codes, scales in (round_nearest(weight), round_gptq(weight, inputs.T @ inputs)):
        errors.append(np.linalg.norm(held_out @ (codes * scales - weight)) / np.linalg.norm(held_out @ weight))
    assert errors[1] < errors[0] / 2


def test_a_weight_is_compensated_as_gptq_says() -> None:
    rng = np.random.default_rng(2)
    inputs, weight = rng.standard_normal((900, 300)), rng.standard_normal((300, 5)).astype(np.float32)
    hessian = inputs.T @ inputs
    # The algorithm as its authors state it: what rounding row k changes is spread by the inverse, then k leaves the matrix.
    rest, inverse = weight.astype(np.float64), np.linalg.inv(hessian + 0.01 * np.trace(hessian) / 300 * np.eye(300))
    for row in range(300):
        error = (rest[row] - np.rint(rest[row])) / inverse[row, row]
        rest[row + 1 :] -= np.outer(inverse[row + 1 :, row], error)
        rest[row] = np.rint(rest[row])
        inverse -= np.outer(inverse[:, row], inverse[row]) / inverse[row, row]
    found = compensate(weight, hessian, np.rint)
    assert np.mean(found != rest) < 0.01, "rows that lie half-way between two steps may fall to either side"


def test_balance_shares_outliers_and_changes_no_product() -> None:
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((50, 32)), rng.standard_normal((32, 8))
    x[:, 5] *= 100
    factors = balance(np.abs(x).max(axis=0), weight, 0.8)
    np.testing.assert_allclose((x / factors) @ (weight * factors[:, None]), x @ weight, rtol=1e-5)
    spread = [np.ptp(np.log(np.abs(values).max(axis=0))) for values in (x, x / factors)]
    assert spread[1] < spread[0] / 2


def losses() -> list[Loss]:
    return [
        Loss("cheap", 10.0, 1e-3, 0.01),
        Loss("dear", 10.0, 9e-3, 0.01),
        Loss("turns", 10.0, 1e-4, 0.4),
        Loss("small", 0.1, 1e-3, 0.0),
        Loss("free", 1.0, 0.0, 0.0),
    ]


def test_the_mix_stays_within_both_budgets_and_takes_the_best_bargains_first() -> None:
    chosen = choose(losses(), Budget(6e-3, 0.3))
    assert [loss.layer for loss in chosen] == ["free", "cheap", "small"]
    depth, rotation = quadrature(chosen)
    assert depth == pytest.approx(2**0.5 * 1e-3)
    assert rotation == pytest.approx(0.01)
    assert {loss.layer for loss in choose(losses(), Budget(1.0, 10.0))} == {loss.layer for loss in losses()}
    assert [loss.layer for loss in choose(losses(), Budget(1e-9, 1e-9))] == ["free"]


def test_layers_are_given_back_until_the_quadrature_of_the_rest_fits() -> None:
    # Twelve mild layers, two that turn cameras, two that cost depth.
    mild = [Loss(f"mild {index}", 1, 1e-4, 0.01) for index in range(12)]
    bad = [Loss("turns a", 1, 1e-4, 0.3), Loss("turns b", 1, 1e-4, 0.2)]
    deep = [Loss("deep a", 1, 5e-3, 0.01), Loss("deep b", 1, 6e-3, 0.01)]
    chosen = [*mild, *bad, *deep]

    def names(budget: Budget, depth: float, rotation: float) -> list[str]:
        return [loss.layer for loss in give_back(chosen, budget, depth, rotation)]

    budget = Budget(8e-3, 0.4)
    assert names(budget, 8e-3, 0.6) == ["turns a"], "depth is not over: no layer goes for it"
    assert names(budget, 8e-3, 0.8) == ["turns a", "turns b"]
    assert names(budget, 9e-3, 0.4) == ["deep b"]
    assert set(names(budget, 1.2e-2, 0.8)) == {"turns a", "turns b", "deep b"}
    assert names(budget, 8.0001e-3, 0.1) == ["deep b"], "never nothing, so that trying again ends"
    assert len(names(budget, 1.0, 90.0)) == 8, "not more than half: the table may be wrong about one"
    assert len(give_back([Loss("alone", 1, 0, 0)], budget, 1, 1)) == 1


def test_a_table_is_scaled_to_what_its_layers_lose_together() -> None:
    both = [Loss("a", 1, 3e-3, 0.0), Loss("b", 1, 4e-3, 0.0, "bfloat16")]
    table = scaled([*both, Loss("c", 1, 1e-3, 0.2)], both, (1e-2, 0.3))
    assert quadrature(table[:2]) == pytest.approx((1e-2, 0))
    assert (table[2].depth, table[2].rotation_deg) == pytest.approx((2e-3, 0.2)), "no rotation to go by: as it was"
