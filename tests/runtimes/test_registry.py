"""Anyone's adapter may fail in any way: it is one unavailable row, and everything else goes on."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import Any, NoReturn

import pytest

from depthport.bench.diagnose.doctor import runtime_rows
from depthport.bench.plan.request import measure_request
from depthport.bench.plan.suites import build_cells
from depthport.exporters.core import plugins
from depthport.exporters.core.errors import UnavailableError
from depthport.runtimes.registry import GROUP, get_runtime, survey
from tests.support.fake_runtime import Fake


class RaisesWhenMade(Fake):
    def __init__(self) -> None:
        raise RuntimeError("no licence\nfound")


class RaisesWhenAsked(Fake):
    def probe(self) -> NoReturn:
        raise KeyError("driver")


class ExitsWhenAsked(Fake):
    def probe(self) -> NoReturn:
        sys.exit(3)


class ListsNoDevices(Fake):
    def probe(self) -> Any:
        return ["cpu"]


class NoRuntime:
    pass


BROKEN = {
    "missing": "no_such_module_at_all:Runtime",
    "nameless": f"{__name__}:NotThere",
    **{kind.__name__: f"{__name__}:{kind.__name__}" for kind in (RaisesWhenMade, RaisesWhenAsked, ExitsWhenAsked)},
    **{kind.__name__: f"{__name__}:{kind.__name__}" for kind in (ListsNoDevices, NoRuntime)},
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = dict(plugins.entry_points(GROUP))
    points = {**real, **{name: EntryPoint(name, value, GROUP) for name, value in BROKEN.items()}}
    found = plugins.entry_points

    def entry_points(group: str) -> Any:
        return points if group == GROUP else found(group)

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    monkeypatch.setattr("depthport.runtimes.registry.entry_points", entry_points)


def test_each_is_surveyed_with_its_reason() -> None:
    found = {surveyed.name: surveyed for surveyed in survey()}
    for name in BROKEN:
        assert found[name].devices == () and found[name].runtime is None
        assert "is broken" in (found[name].problem or "") and "\n" not in (found[name].problem or "")
    assert found["pytorch"].problem is None


def test_a_suite_has_a_row_for_each_and_all_the_others() -> None:
    for suite in ("default", "paper"):
        cells = build_cells(measure_request(weights="synthetic:0", suite=suite))
        rows = {cell.runtime: cell for cell in cells}
        for name in BROKEN:
            assert "is broken" in (rows[name].unavailable or "")
        assert any(cell.baseline for cell in cells)
        assert len({cell.id for cell in cells}) == len(cells)


def test_doctor_lists_them() -> None:
    rows = {row.runtime: row for row in runtime_rows()}
    assert not any(rows[name].available for name in BROKEN if name in rows)


@pytest.mark.parametrize("name", ["missing", "nameless", "RaisesWhenMade"])
def test_asked_for_by_name_it_is_one_line(name: str) -> None:
    with pytest.raises(UnavailableError, match="is broken"):
        get_runtime(name)
