"""Suite `alternatives`: what people would run without this package, as ordinary cells beside ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from depthport.bench.plan import suites
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.request import Filters, measure_request
from depthport.bench.results.model import ALTERNATIVE
from depthport.runtimes.base import Device, Mode
from depthport.runtimes.onnxruntime.providers import providers_for
from depthport.runtimes.onnxruntime.runtime import OnnxRuntimeRuntime
from depthport.runtimes.pytorch.runtime import EAGER, UPSTREAM, UPSTREAM_COMPILE, PyTorchRuntime
from depthport.runtimes.registry import Surveyed

REQUEST = measure_request("da3-small", weights="synthetic:0", height=70, width=98)
INSTEAD = [
    "onnxruntime/cpu/portable/fp32",
    "onnxruntime/cpu/quantize-dynamic/int8/portable",
    "onnxruntime/cpu/upstream-export/fp32/portable",
    "pytorch/cpu/upstream-compile/fp32",
]


class Torch(PyTorchRuntime):
    """As it is where there is a compiler."""

    def probe(self) -> list[Device]:
        return [Device("cpu", "a CPU", (UPSTREAM, EAGER, replace(UPSTREAM_COMPILE, precisions=("fp32",))), ("fp32",))]


class Ort(OnnxRuntimeRuntime):
    """As it is on a CPU with VNNI."""

    def probe(self) -> list[Device]:
        modes = tuple(provider.mode for provider in providers_for("cpu", ["CPUExecutionProvider"]))
        return [Device("cpu", "a CPU", modes, ("fp32", "int8"))]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = (Ort(), Torch())
    monkeypatch.setattr(suites, "runtimes", lambda: [runtime.name for runtime in here])
    monkeypatch.setattr(suites, "survey", lambda: [Surveyed(r.name, r, tuple(r.probe())) for r in here])


def cells(suite: str, **filters: tuple[str, ...]) -> tuple[CellSpec, ...]:
    return suites.build_cells(replace(REQUEST, suite=suite, filters=Filters(**filters)))


def test_they_stand_beside_the_default_cells_and_int8() -> None:
    made = cells("alternatives")
    assert sorted(c.id for c in made if ALTERNATIVE in c.tags) == INSTEAD
    ours = {c.id for c in made if ALTERNATIVE not in c.tags}
    assert ours == {c.id for c in cells("default")} | {"onnxruntime/cpu/int8"}
    assert [c.id for c in made if c.baseline] == ["pytorch/cpu/upstream/fp32"] == [made[0].id]
    asked = {c.mode: dict(c.export.options) for c in made if c.export.options}
    assert asked == {"quantize-dynamic": {"mix": "dynamic"}, "upstream-export": {"network": "upstream"}}


@pytest.mark.parametrize("suite", ["default", "quick"])
def test_other_suites_have_none_but_those_that_are_named(suite: str) -> None:
    assert not [c for c in cells(suite) if ALTERNATIVE in c.tags]
    named = cells(suite, modes=("upstream-compile",))
    assert [c.id for c in named] == ["pytorch/cpu/upstream/fp32", "pytorch/cpu/upstream-compile/fp32"]


@pytest.mark.parametrize(("gain", "more"), [(1.9, {"onnxruntime/cpu/bf16-poses"}), (0.5, set())])
def test_what_a_measurement_finds_faster_is_in_every_suite(
    gain: float, more: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {c.id for c in cells("default")}
    monkeypatch.setattr(Ort, "gains", lambda _self, _device: {"bf16-poses": gain})
    assert {c.id for c in cells("default")} == before | more


def test_full_has_every_valid_cell() -> None:
    assert set(INSTEAD) <= {c.id for c in cells("full")}


def test_a_mode_is_none_unless_it_says_so() -> None:
    assert not Mode("swift", "in one go").alternative
