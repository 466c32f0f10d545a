"""What a visit runs."""

from __future__ import annotations

from depthport.bench.plan.visits import CallTimes, VisitBlock, plan_visits


def visits(timed_calls: int | None = None, **times: float) -> dict[str, tuple[VisitBlock, ...]]:
    cells = {cell: CallTimes(call_s, 1e-6) for cell, call_s in times.items()}
    return {cell: visit.blocks for cell, visit in plan_visits(cells, 1e-3, timed_calls).items()}


def test_twins_run_the_same_whatever_the_first_calls_took() -> None:
    # 0.015 s are 4 calls of the first and 3 of the second
    found = visits(cell=0.0042, twin=0.0044)
    assert found["cell"] == found["twin"] == (VisitBlock("device", 1, 4, 3), VisitBlock("host", 1, 4, 0))


def test_cells_are_alike_by_the_fastest_of_them() -> None:
    found = visits(a=0.002, b=0.0029, c=0.0031, d=0.0046)
    samples = {cell: blocks[0].samples for cell, blocks in found.items()}
    assert samples == {"a": 8, "b": 8, "c": 5, "d": 5}


def test_a_long_call_gives_both_boundaries() -> None:
    assert visits(cell=0.2)["cell"] == (VisitBlock("both", 1, 1, 1),)
    slow_sync = plan_visits({"cell": CallTimes(0.2, 0.001)}, 1e-3, None)["cell"]
    assert [block.boundary for block in slow_sync.blocks] == ["device", "host"]


def test_short_calls_are_grouped_and_settle() -> None:
    device, host = visits(cell=1e-4)["cell"]
    assert (device.calls, device.warmups, host.calls, host.warmups) == (11, 10, 1, 0)


def test_a_fixed_count_has_no_group_and_no_settling() -> None:
    assert visits(5, cell=1e-4)["cell"] == (VisitBlock("device", 1, 5, 0), VisitBlock("host", 1, 5, 0))


def test_calls_of_a_visit() -> None:
    assert plan_visits({"cell": CallTimes(0.0042, 1e-6)}, 1e-3, None)["cell"].calls == 11
