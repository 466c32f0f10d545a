"""The Neural Engine's table: predicted off a Mac, beside Core ML's own plan on one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from depthport.bench.report.markdown.document import render_markdown
from depthport.bench.report.model import neural_engine
from depthport.bench.report.model.merge import merge
from depthport.bench.report.model.recommend import answer
from depthport.bench.report.page.payload import payload
from depthport.bench.results.model import Cell, Results, Status
from depthport.bench.results.sections import Environment
from depthport.runtimes.terms import Placement


def prediction() -> dict[str, Any]:
    def family(name: str, refused: list[str]) -> dict[str, Any]:
        blockers = [{"operation": "upsample_bilinear", "reason": "needs M2 or newer", "count": len(refused)}]
        return {
            "family": name, "operations": 10, "blocked": len(refused), "blocked_flop_share": 0.02 * len(refused),
            "switches": 1, "streaming": 0, "blockers": blockers if refused else [], "refused": refused,
        }  # fmt: skip

    return {"kind": "predicted", "families": [family("M1", ["up_1", "up_2"]), family("M2", [])]}


def results(chip: str, plan: dict[str, str] | None, **changes: Any) -> Results:
    cell = Cell(
        id="coreml/ane/CPU_AND_NE/fp16", model="da3-small", batch=1, views=1, height=504, width=504,
        weights="synthetic:0", format="coreml", runtime="coreml", device="ane", mode="CPU_AND_NE", precision="fp16",
        status=Status.UNAVAILABLE if plan is None else Status.OK, reason="Core ML runs on macOS only",
        artifact={"key": "abc", "size_bytes": 1, "neural_engine": prediction()},
        placement=None if plan is None else Placement("ane", {"plan": plan}),
    )  # fmt: skip
    environment: Environment = {"machine": chip, "cpu": {"model": chip, "usable_cores": 8}}
    return Results(
        environment, {"name": "rigorous"}, {}, {}, [structs.replace(cell, **changes)], created="2026-03-01T10:00:00Z"
    )


def lines(found: Results) -> list[neural_engine.Line]:
    report = merge([found])
    return neural_engine.lines(report.machines[0], report.machines[0].groups[0])


def test_off_a_mac_every_family_is_predicted() -> None:
    m1, m2 = lines(results("AMD EPYC", None))
    assert (m1.chips, m1.refused, m1.share, m1.placed, m1.differ) == ("M1", "2 of 10", "4.00%", "–", "–")
    assert m1.because == "2 upsample_bilinear: needs M2 or newer" and m2.because == "nothing"


def test_on_a_mac_the_plan_stands_beside_its_own_chip() -> None:
    plan = {"conv_1": "ane", "up_1": "ane", "up_2": "cpu", "gelu": "gpu"}
    (line,) = lines(results("Apple M1 Pro", plan))
    assert line.chips == "M1" and line.placed == "2 ane, 1 gpu, 1 cpu"
    assert line.differ == "1 accepted by the tables run elsewhere; 1 refused by the tables run on it"
    (line,) = lines(results("Apple M1", {"conv_1": "ane", "up_1": "cpu"}))
    assert line.differ == "nowhere"


@pytest.mark.parametrize("broken", [None, {}, {"families": 4}, {"families": [7, {}]}])
def test_damaged_results(broken: Any) -> None:
    assert isinstance(lines(results("Apple M1", {"a": "ane"}, artifact={"neural_engine": broken})), list)


def test_both_reports_have_it_and_say_predicted() -> None:
    report = merge([results("AMD EPYC", None)])
    answers = answer(report)
    text = render_markdown(report, answers)
    assert neural_engine.TITLE in text and "Share of FLOPs refused (predicted)" in text
    blocks = payload(report, answers)["groups"][0]["tables"]
    assert [b["title"] for b in blocks] == [neural_engine.TITLE]
    assert not neural_engine.lines(report.machines[0], merge([results("x", None, artifact=None)]).machines[0].groups[0])
