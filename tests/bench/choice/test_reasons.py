"""Why a pick is the pick: the sentence is about the others too, every one of them."""

from __future__ import annotations

import pytest
from msgspec import structs

from depthport.bench.choice.choose import choose, objectives
from depthport.bench.choice.reasons import best_alone
from depthport.bench.report.model.merge import merge
from depthport.bench.report.model.recommend import answer
from depthport.bench.report.page.payload import payload
from depthport.bench.results.metrics import METRICS
from depthport.bench.results.model import Cell, Timing
from depthport.bench.results.samples import Samples
from tests.support import results as fixtures


def cell(name: str, ms: float, ci: tuple[float, float] | None) -> Cell:
    timing = Timing(ms, ci, None, None, None, None, None, None, n=9, img_s=None, samples=Samples())
    return Cell(
        name, "da3-small", batch=1, views=1, height=70, width=98, weights="w", format="onnx", runtime="a",
        device="cpu", mode="-", precision="fp32", timing={"device": timing},
    )  # fmt: skip


BEST = cell("a", 10.0, (9.0, 11.0))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], "it is the only cell that meets every constraint"),
        ([cell("b", 12.0, (11.5, 12.5))], "the next is b, 12.0 [11.5, 12.5] ms; no other interval overlaps the best one"),
        (
            [cell("b", 11.5, (10.5, 12.5))],
            "whose interval overlaps the best one; paired within the run's rounds it is slower",
        ),
        (
            [cell("b", 11.5, (10.5, 12.5)), cell("c", 12.0, (10.9, 13.0))],
            "2 intervals overlap the best one, all are slower",
        ),
        ([cell("b", 12.0, (11.5, 12.5)), cell("c", 13.0, (8.0, 20.0))], "1 interval overlaps the best one"),
    ],
)
def test_every_other_interval_is_looked_at(others: list[Cell], said: str) -> None:
    assert said in best_alone([BEST, *others], METRICS["latency_ms"], "device")


def test_without_intervals_nothing_is_certain() -> None:
    said = best_alone([cell("a", 10.0, None), cell("b", 12.0, None)], METRICS["latency_ms"], "device")
    assert said.endswith("without intervals the order is not certain")


def test_a_pareto_set_is_the_same_on_the_page_and_in_choose() -> None:
    results = fixtures.h100()
    # A slow, inexact cell that needs little memory: on the set for what a chart of latency and error does not show.
    index = next(i for i, c in enumerate(results.cells) if c.mode == "eager")
    light = results.cells[index]
    results.cells[index] = structs.replace(light, memory=structs.replace(light.memory, device_peak_mib=100.0))
    report = merge([results])
    data = payload(report, answer(report))
    choice = choose(results)
    ringed = {shown["id"] for shown in data["cells"] if shown["front"]}
    assert ringed == set(choice.pareto) and light.id in ringed
    assert choice.objectives == objectives("latency_ms") == ("latency_ms", "depth_error", "memory_mib")
    assert data["groups"][0]["objectives"] == ["latency", "depth error", "peak memory"]
