"""A run that stops at a precision."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from depthport.bench.cli.app import app
from depthport.bench.cli.options import parse_percent
from depthport.bench.plan.protocol import QUICK, RIGOROUS, Protocol
from depthport.bench.plan.regime import Regime
from depthport.bench.plan.request import UNTIL_BUDGET_S, MeasureKeywords, measure_request
from depthport.exporters.core.errors import UsageError


def protocol(until: float | None, budget_s: float | None = None) -> Protocol:
    asked = measure_request("da3-small", height=70, width=98, weights="synthetic:0", until=until, budget_s=budget_s)
    return asked.protocol


def test_a_precision_may_take_its_time_unless_a_budget_is_given() -> None:
    asked = protocol(0.05)
    assert (asked.target_half_width, asked.budget_s) == (0.05, UNTIL_BUDGET_S)
    assert protocol(0.05, 60.0).budget_s == 60.0
    assert protocol(None) == RIGOROUS


@pytest.mark.parametrize("until", [0.0, -0.1, 1.5, float("nan")])
def test_a_precision_that_can_not_be(until: float) -> None:
    with pytest.raises(UsageError, match="--until is"):
        protocol(until)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), (" 2.5 % ", 0.025), ("5", 0.05), (None, None)])
def test_percentages(text: str | None, share: float | None) -> None:
    assert parse_percent(text, "--until") == (share if share is None else pytest.approx(share))


def test_words_are_no_percentage() -> None:
    with pytest.raises(UsageError, match="--until 'soon' is not a percentage: give for example 5%"):
        parse_percent("soon", "--until")


@pytest.mark.parametrize("asked", [{"protocol": "paper"}, {"suite": "check"}, {"regime": Regime("sustained", 600.0)}])
def test_no_precision_where_cells_take_no_turns(asked: MeasureKeywords) -> None:
    asked.update({"weights": "synthetic:0", "until": 0.05})
    with pytest.raises(UsageError, match="--until ends rounds in which cells take turns"):
        measure_request("da3-small", **asked)


def test_help_says_what_the_budget_is() -> None:
    command: Any = typer.main.get_command(app)
    (budget,) = (option for option in command.commands["run"].params if option.name == "budget")
    figures = f"{RIGOROUS.budget_s:g}; {QUICK.budget_s:g} for the suite quick; {UNTIL_BUDGET_S:g} with --until"
    assert f"Default: {figures}." in budget.help
