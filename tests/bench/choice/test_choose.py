"""`choose`: bounds on intervals, ties, the Pareto set, a reason a cell, what flips it, when a build pays."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import force_setattr

from depthport.bench.choice.break_even import break_even
from depthport.bench.choice.choice import Constraint, Request
from depthport.bench.choice.choose import choose
from depthport.bench.choice.pareto import UNKNOWN, Costs, pareto_set
from depthport.bench.results.metrics import METRICS, Estimate
from depthport.bench.results.model import Memory, Phases, Results, Status, Timing
from depthport.bench.results.samples import Samples
from depthport.exporters.core.errors import UsageError
from tests.support import results as fixtures
from tests.support.hostile import hostile
from tests.support.results import H100
from tests.support.simulated_run import Machine, Row, Workload


def exact(value: float) -> Estimate:
    return Estimate(value, value, value)


def about(value: float, share: float = 0.1) -> Estimate:
    return Estimate(value, value * (1 - share), value * (1 + share))


def run(*rows: Row, noise: float = 0.003, views: int = 1) -> Results:
    machine = Machine(H100.environment, replace(H100.clock, white=noise))
    return fixtures.results(machine, rows, Workload(shape=(1, views, 504, 504)))


def row(name: str, ms: float, error: float = 5e-5, host_mib: float = 500.0) -> Row:
    return Row("onnx", name, "cpu", "default", "fp32", ms, error, host_mib=host_mib)


# --- the Pareto set


def dominates(a: Costs, b: Costs) -> bool:
    return pareto_set([a, b]) == [0]


def test_dominance_needs_an_interval_apart() -> None:
    assert dominates([exact(1), exact(1)], [exact(2), exact(1)])
    assert not dominates([about(1.0), exact(1)], [about(1.05), exact(1)])
    assert not dominates([exact(1), exact(2)], [exact(2), exact(1)])
    assert not dominates([exact(1), exact(1)], [exact(1), exact(1)])


def test_what_was_not_measured_is_no_virtue() -> None:
    assert dominates([exact(1), exact(1)], [exact(1), None])
    assert not dominates([exact(1), None], [exact(2), exact(1)])


def _by_definition(a: Sequence[Estimate | None], b: Sequence[Estimate | None]) -> bool:
    """The rule as the module's docstring states it, pair by pair."""

    def log(x: float, y: float) -> float:
        if x == y:
            return 0.0
        if math.isinf(x) or y <= 0:
            return math.inf
        return -math.inf if math.isinf(y) or x <= 0 else math.log(x / y)

    pairs = [(x or UNKNOWN, y or UNKNOWN) for x, y in zip(a, b, strict=True)]
    worse, better = any(y.certainly_below(x) for x, y in pairs), any(x.certainly_below(y) for x, y in pairs)
    return better and not worse and sum(log(x.value, y.value) for x, y in pairs) < 0


def test_the_front_is_that_of_the_definition() -> None:
    random = Random(0)

    def one() -> Estimate | None:
        if random.random() < 0.1:
            return None
        value = random.choice((0.0, 1.0, 2.0, random.lognormvariate(0, 1)))
        return Estimate(value, value * random.uniform(0.5, 1), value * random.uniform(1, 2))

    for _ in range(30):
        costs = [[one() for _ in range(3)] for _ in range(random.randint(0, 120))]
        expected = [i for i, own in enumerate(costs) if not any(_by_definition(o, own) for o in costs if o is not own)]
        assert pareto_set(costs) == expected
    assert pareto_set([[exact(1), None], [exact(2), None]]) == [0]


def test_the_relation_has_no_cycle() -> None:
    # Rock, paper, scissors: each certainly better in one objective, not apart in the others.
    a = [about(1.0, 0.01), about(2.0, 0.6), about(3.0, 0.6)]
    b = [about(3.0, 0.01), about(1.0, 0.6), about(2.0, 0.6)]
    c = [about(2.0, 0.6), about(3.0, 0.01), about(1.0, 0.6)]
    assert pareto_set([a, b, c])


# --- break-even


def timed(name: str, ms: float, ci: tuple[float, float] | None, load: float, export: float, images: int = 1) -> Any:
    results = run(row(name, ms), views=images)
    cell = results.cells[0]
    timing = Timing(ms, ci, ms, 0.0, ms, None, None, None, 10, None, Samples())
    return structs.replace(cell, timing={"device": timing}, phases=Phases(export_s=export, load_s=load, first_call_ms=0.0))


def test_break_even_is_extra_setup_over_time_saved_per_image() -> None:
    fast, slow = timed("fast", 10, (9, 11), 5, 95), timed("slow", 20, (19, 21), 1, 0)
    found = break_even(fast, slow, "device", with_export=True)
    assert found is not None
    assert found.images == 9900  # (5 + 95 - 1) s / 10 ms
    assert found.images_ci95 == (8250, 12375)  # 99 s / 12 ms, 99 s / 8 ms
    started = break_even(fast, slow, "device", with_export=False)
    assert started is not None and started.images == 400


def test_break_even_counts_images_not_calls() -> None:
    fast, slow = timed("fast", 50, None, 11, 0, images=5), timed("slow", 100, None, 1, 0, images=5)
    found = break_even(fast, slow, "device", with_export=True)
    assert found is not None and found.images == 1000


def test_a_cell_that_is_no_faster_never_pays() -> None:
    found = break_even(timed("a", 20, (19, 21), 5, 5), timed("b", 20, (19, 21), 1, 1), "device", with_export=True)
    assert found is not None and found.images is None and found.images_ci95 == (4000, None)  # 8 s / 2 ms


# --- choosing


def test_the_fastest_right_cell_is_picked_and_every_other_has_one_reason() -> None:
    results = fixtures.h100()
    choice = choose(results)
    assert choice.pick == "tensorrt/cuda/default/bf16"
    others = [cell.id for cell in results.cells if cell.id != choice.pick]
    assert sorted(r.cell for r in choice.rejected) == sorted(others)
    assert all(r.reason and "\n" not in r.reason for r in choice.rejected)


def test_a_bound_inside_the_interval_is_not_met() -> None:
    results = run(row("a", 20.0), noise=0.05)
    timing = results.cells[0].timing["device"]
    assert timing.median_ms and timing.ci95_ms and timing.ci95_ms[1] > timing.median_ms
    bound = (timing.median_ms + timing.ci95_ms[1]) / 2
    choice = choose(results, Request(constraints=(Constraint("latency_ms", bound),)))
    assert choice.pick is None
    assert "interval reaches beyond" in choice.rejected[0].reason


def test_what_was_not_measured_meets_no_bound() -> None:
    results = run(row("a", 20.0))
    results.cells[0] = structs.replace(results.cells[0], memory=Memory())
    choice = choose(results, Request(constraints=(Constraint("memory_mib", 1e6),)))
    assert choice.pick is None and choice.rejected[0].kind == "unmeasured"


def test_ties_are_broken_by_parity_then_memory() -> None:
    results = run(row("a", 20.0), row("b", 20.02, error=1e-6), noise=0.01)
    choice = choose(results)
    assert choice.pick == "b/cpu/default/fp32" and choice.ties == ("a/cpu/default/fp32",)
    assert "depth error" in choice.why
    lighter = run(row("a", 20.0), row("b", 20.02, host_mib=100.0), noise=0.01)
    assert choose(lighter).pick == "b/cpu/default/fp32"


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (Request(devices=("cpu",)), "device"),
        (Request(licences=("open",)), "licence"),
        (Request(runtimes=("onnxruntime",)), "runtime"),
        (Request(constraints=(Constraint("depth_error", 1e-3),)), "constraint"),
    ],
)
def test_each_kind_of_demand_rejects_for_its_own_reason(request_: Request, kind: str) -> None:
    choice = choose(fixtures.h100(), request_)
    assert choice.pick != "tensorrt/cuda/default/bf16"
    assert next(r for r in choice.rejected if r.cell == "tensorrt/cuda/default/bf16").kind == kind


def test_times_of_a_stand_in_are_not_chosen_by_unless_asked_for() -> None:
    results = run(row("desktop", 20.0), row("phone", 10.0))
    phone = next(cell for cell in results.cells if cell.runtime == "phone")
    force_setattr(phone, "off_target", "it is for phones")
    picked = choose(results, Request())
    assert picked.pick is not None and picked.pick.startswith("desktop/")
    (rejected,) = (r for r in picked.rejected if r.cell == phone.id)
    assert rejected.kind == "off_target"
    assert rejected.reason == "it is for phones; ask for --device cpu to choose among them"
    for asked in (Request(devices=("cpu",)), Request(runtimes=("phone", "desktop"))):
        assert choose(results, asked).pick == phone.id


def test_flips_name_the_bound_that_would_change_the_pick() -> None:
    request = Request(constraints=(Constraint("depth_error", 7e-3),))
    choice = choose(fixtures.h100(), request)
    relax = next(f for f in choice.sensitivity if f.kind == "relax")
    assert relax.pick == "tensorrt/cuda/default/bf16" and relax.bound and relax.bound == pytest.approx(7.7e-3)
    again = choose(fixtures.h100(), Request(constraints=(Constraint("depth_error", relax.bound),)))
    assert again.pick == relax.pick
    for change in choice.sensitivity:
        if change.kind == "goal":
            assert choose(fixtures.h100(), replace(request, goal=change.metric)).pick == change.pick


def test_without_a_pick_the_nearest_relaxations_are_named() -> None:
    tight = (Constraint("latency_ms", 25), Constraint("depth_error", 1e-3), Constraint("memory_mib", 2200))
    choice = choose(fixtures.h100(), Request(constraints=tight))
    assert choice.pick is None
    assert {f.metric for f in choice.sensitivity} == {"depth_error", "memory_mib"}


def test_goals_pick_what_they_say() -> None:
    results = fixtures.h100()
    right = [c for c in results.cells if c.status is Status.OK]
    by_memory = choose(results, Request(goal="memory_mib"))
    assert by_memory.pick == min(right, key=lambda c: c.memory.device_peak_mib or 1e9).id
    for goal in ("cold_start_s", "artifact_mib", "depth_error", "throughput_img_s", "latency_p95_ms"):
        choice = choose(results, Request(goal=goal))
        assert choice.pick is not None
        best = METRICS[goal].cost(next(c for c in right if c.id == choice.pick), "device")
        assert best is not None
        for cell in right:
            other = METRICS[goal].cost(cell, "device")
            assert other is None or not other.certainly_below(best)


def test_workloads_are_never_mixed() -> None:
    small, large = run(row("a", 20.0)), run(row("b", 5.0), views=2)
    small.cells.extend(large.cells)
    with pytest.raises(UsageError, match="several workloads"):
        choose(small)
    assert choose(small, Request(views=2)).pick == "b/cpu/default/fp32"
    with pytest.raises(UsageError, match="nothing was measured"):
        choose(small, Request(views=7))


def test_controls_are_no_candidates_and_cautions_are_said() -> None:
    results = fixtures.synthetic()
    results.cells.append(structs.replace(results.cells[3], id="control", tags=["control-aa"]))
    results.controls["plus5"] = structs.replace(results.controls["plus5"], ok=False)
    choice = choose(structs.replace(results, complete=False))
    assert "control" not in {r.cell for r in choice.rejected} and choice.pick != "control"
    assert len(choice.cautions) == 3


def test_accuracy_is_no_constraint_with_synthetic_weights() -> None:
    choice = choose(fixtures.synthetic(), Request(constraints=(Constraint("accuracy_abs_rel", 1.0),)))
    assert choice.pick is None
    real = choose(fixtures.cpu_server(), Request(constraints=(Constraint("accuracy_abs_rel", 1.0),)))
    assert real.pick is not None


def test_bad_requests_say_what_there_is() -> None:
    with pytest.raises(UsageError, match="latency_ms"):
        Request(goal="speed")
    with pytest.raises(UsageError, match="latency_ms"):
        Constraint("speed", 1.0)
    with pytest.raises(UsageError, match="at least 0"):
        Constraint("latency_ms", float("nan"))


def test_json_is_strict_and_console_text_is_inert(tmp_path: Any) -> None:
    from rich.console import Console

    from depthport.bench.cli.console import render_choice
    from depthport.bench.results.load_results import parse_results

    results, _ = parse_results(json.loads(json.dumps(hostile())))
    timed = [c for c in results.cells if c.timing]
    timing = timed[0].timing["device"]
    timed[0].timing["device"] = structs.replace(timing, median_ms=timing.median_ms or 5.0)
    for source in (fixtures.h100(), structs.replace(results, cells=timed[:1])):
        choice = choose(source)
        json.dumps(choice.to_json(), allow_nan=False)
        console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
        render_choice(choice, console)
        assert choice.pick is None or choice.pick[:40] in console.export_text()
