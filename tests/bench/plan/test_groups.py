"""Several cards as one device: the cells of a run that names them, and what they are compared with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from depthport.bench.analysis.evidence import baseline_of
from depthport.bench.diagnose.profile import profile
from depthport.bench.plan import suites
from depthport.bench.plan.request import Filters, measure_request
from depthport.exporters.core.errors import UnavailableError, UnsupportedError
from depthport.runtimes.base import Device, Mode
from depthport.runtimes.pytorch.runtime import FUSED, UPSTREAM, PyTorchRuntime
from depthport.runtimes.registry import Surveyed
from depthport.runtimes.terms import first_device

REQUEST = measure_request("da3-large", views=32, weights="synthetic:0")


class TwoCards(PyTorchRuntime):
    """As `probe` finds it on a machine with two GPUs."""

    def probe(self) -> list[Device]:
        return [Device(name, "GPU", (UPSTREAM, FUSED), ("bf16", "fp16")) for name in ("cuda", "cuda:1")]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "runtimes", lambda: ["pytorch"])
    runtime = TwoCards()
    monkeypatch.setattr(suites, "survey", lambda: [Surveyed("pytorch", runtime, tuple(runtime.probe()))])


def test_a_group_is_measured_where_it_is_named_beside_the_baseline_of_its_first_card() -> None:
    cells = suites.build_cells(replace(REQUEST, filters=Filters(devices=("cuda:0+1",))))
    assert [(c.device, c.mode, c.baseline) for c in cells] == [("cuda", "upstream", True), ("cuda:0+1", "fused", False)]
    assert cells[1].export.target == "cuda" and baseline_of(cells[1], cells) is cells[0]


def test_a_cells_id_names_its_group() -> None:
    cells = suites.build_cells(replace(REQUEST, filters=Filters(cells=("pytorch/cuda:1+0/fused/bf16-fp16",))))
    assert [c.id for c in cells] == ["pytorch/cuda:1/upstream/bf16-mixed", "pytorch/cuda:1+0/fused/bf16-fp16"]


def test_nobody_names_a_group_and_none_is_measured() -> None:
    assert {c.device for c in suites.build_cells(REQUEST)} == {"cuda", "cuda:1"}


def test_a_machine_with_fewer_cards_says_so_in_one_line() -> None:
    with pytest.raises(UnavailableError, match=r"cuda:0\+2: there is no cuda:2, this machine has 2 NVIDIA GPUs"):
        suites.build_cells(replace(REQUEST, filters=Filters(devices=("cuda:0+2",))))


@pytest.mark.parametrize(
    ("name", "first"), [("cuda:0+1", "cuda"), ("cuda:2+3", "cuda:2"), ("cuda:1", "cuda:1"), ("cuda", "cuda")]
)
def test_the_first_of_a_group(name: str, first: str) -> None:
    assert first_device(name) == first


def test_a_group_has_the_modes_that_can_share() -> None:
    device = TwoCards().device("cuda:0+1")
    assert device.modes == (FUSED,) and device.description == "2 × GPU"
    assert isinstance(device.modes[0], Mode)


def test_a_profile_is_of_one_card() -> None:
    with pytest.raises(UnsupportedError, match=r"not cuda:1\+2: choose cuda:1"):
        profile("da3-small", device="cuda:1+2")
