"""`--memory-fraction` reaches the cells, and the command that reruns one."""

from __future__ import annotations

from typing import Any

import pytest

from depthport.bench.choice.reproduce import reproduce
from depthport.bench.measure import api
from depthport.bench.plan.request import make_cell, measure_request
from depthport.bench.results.model import Cell, Results
from depthport.exporters.core.errors import UsageError
from depthport.runtimes.base import Device, LoadOptions, Mode
from depthport.runtimes.pytorch.runtime import PyTorchRuntime
from depthport.runtimes.terms import Placement


def test_cells_have_it() -> None:
    request = measure_request(weights="synthetic:0", memory_fraction=0.5)
    runtime, mode = PyTorchRuntime(), Mode("eager", "")
    assert make_cell(runtime, Device("mps", ""), mode, "fp32", request).load_arguments()["memory_fraction"] == 0.5


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, float("nan")])
def test_out_of_range(value: float) -> None:
    with pytest.raises(UsageError, match=r"--memory-fraction is .*: it must be above 0 and at most 1"):
        api.plan(weights="synthetic:0", height=70, width=98, memory_fraction=value)


@pytest.mark.parametrize("device,fraction,word", [
    ("mps", 0.85, None), ("mps", 0.5, "--memory-fraction=0.5"), ("cuda", 0.85, "--memory-fraction=0.85"),
    ("cuda", None, None),
])  # fmt: skip
def test_reproduced(device: str, fraction: float | None, word: str | None) -> None:
    shape: dict[str, Any] = {"batch": 1, "views": 1, "height": 70, "width": 98}
    cell = Cell(
        "pytorch/x/eager/fp32", "da3-small", **shape, weights="synthetic:0", format="pytorch", runtime="pytorch",
        device=device, mode="eager", precision="fp32",
        placement=Placement(device, {"memory_fraction": fraction}),
    )  # fmt: skip
    command = reproduce(Results({}, {"name": "rigorous"}, {}, {}, [cell]), cell.id).command
    assert [w for w in command if w.startswith("--memory")] == ([word] if word else [])


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, float("nan")])
def test_out_of_range_wherever_it_comes_in(value: float) -> None:
    from depthport.bench.diagnose.batch import find_batch

    complaint = r"--memory-fraction is .*: it must be above 0 and at most 1"
    with pytest.raises(UsageError, match=complaint):
        LoadOptions(memory_fraction=value)
    with pytest.raises(UsageError, match=complaint):
        find_batch("da3-small", device="cpu", fraction=value)
