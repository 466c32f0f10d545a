"""A runtime that nothing here names: registered as a third party would, it is measured, told of, chosen and repeated."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from depthport.bench.choice.choice import Request as Wish
from depthport.bench.choice.choose import choose
from depthport.bench.choice.reproduce import reproduce
from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.protocol import PAPER
from depthport.bench.plan.request import Filters, measure_request
from depthport.bench.plan.suites import build_cells
from depthport.bench.report.markdown.document import render_markdown
from depthport.bench.report.model.merge import merge
from depthport.bench.report.model.recommend import answer
from depthport.bench.report.page.payload import payload
from depthport.bench.results.load_results import load_results, parse_results
from depthport.bench.results.model import Status
from depthport.bench.results.runtime_facts import facts_of
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.plugins import entry_points
from depthport.exporters.core.store import ArtifactStore
from depthport.runtimes.base import Device, Mode
from tests.support.fake_runtime import Fake, fake_artifact
from tests.support.requests import plan_of

SHAPE = Shape(1, 2, 14, 28)
CELL = "acme/cpu/swift/fp32"


class Acme(Fake):
    """All that anyone writes for a new runtime, and its line in `entry_points.txt` below."""

    name: ClassVar[str] = "acme"
    title: ClassVar[str] = "Acme Engine"
    licence: ClassVar[str | None] = "Acme EULA"
    packages: ClassVar[tuple[str, ...]] = ("acme-engine",)

    def probe(self) -> list[Device]:
        return [Device("cpu", "a fake CPU", (Mode("swift", "in one go"),), ("fp32",))]

    def default_target(self, device: str, precision: str) -> str | None:
        return f"acme-{device}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip leaves it: the distribution's version and what it registers."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "acme_engine-3.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-engine\nVersion: 3.1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        f"[depthport.runtimes]\nacme = tests.bench.test_new_runtime:{Acme.__name__}\n", encoding="utf-8"
    )
    return folder


@pytest.fixture
def installed(site: Path) -> Iterator[None]:
    """The same, on the path of this process and its workers."""
    with pytest.MonkeyPatch.context() as patch:
        yield from _on_path(site, patch)


def _on_path(site: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.syspath_prepend(str(site))
    patch.setenv("PYTHONPATH", str(site))
    entry_points.cache_clear()
    yield
    patch.undo()
    entry_points.cache_clear()


@pytest.fixture(scope="module")
def measured(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a real run of it alone, in real worker processes."""
    folder = tmp_path_factory.mktemp("run")
    artifact = fake_artifact(folder / "artifact", SHAPE).path
    with pytest.MonkeyPatch.context() as patch:
        for _ in _on_path(site, patch):
            wanted = measure_request(weights="synthetic:0", filters=Filters(runtimes=("acme",)), **asdict(SHAPE))
            (cell,) = (cell for cell in build_cells(wanted) if cell.runtime == "acme")
            plan = plan_of(
                (replace(cell, artifact=str(artifact), baseline=True),), load_scenes(SHAPE, sets=2),
                replace(PAPER, load_timeout_s=60.0), parity=False,
            )  # fmt: skip
            engine.run(plan, folder / "out", ArtifactStore(folder / "store"), Observer())
    return folder / "out"


def _texts(source: Any) -> tuple[str, dict[str, Any]]:
    """The Markdown report, and its cell on the page."""
    report = merge([source])
    answers = answer(report)
    return render_markdown(report, answers), payload(report, answers)["cells"][0]


@pytest.mark.usefixtures("installed")
def test_it_is_measured_with_its_own_target_and_told_of_by_title_licence_and_version(measured: Path) -> None:
    results = load_results(measured).results
    assert [(cell.id, cell.status) for cell in results.cells] == [(CELL, Status.OK)]
    assert results.environment["packages"]["acme-engine"] == "3.1"
    text, cell = _texts(measured)
    assert "acme-engine 3.1" in text
    assert "| `acme` | Acme Engine | Acme EULA |" in text
    assert cell["name"] == "Acme Engine · swift · fp32" and cell["slot"]["row"] == "Acme Engine · swift"
    assert ["Runtime", "Acme Engine, licence Acme EULA"] in [list(line) for line in cell["details"]]
    assert cell["compiled"] is None


@pytest.mark.usefixtures("installed")
def test_it_is_chosen_by_its_licence_and_repeated_with_its_version(measured: Path) -> None:
    results = load_results(measured).results
    assert choose(results, Wish(licences=("Acme EULA",))).pick == CELL
    refused = choose(results, Wish(licences=("open",)))
    assert refused.pick is None and refused.rejected[0].reason == "acme is under Acme EULA"
    recipe = reproduce(results, CELL)
    assert "acme-engine==3.1" in recipe.install
    assert f"--cell={CELL}" in recipe.command


def test_its_results_are_read_where_it_is_not_installed(measured: Path) -> None:
    text, cell = _texts(measured)
    assert "| `acme` | Acme Engine | Acme EULA |" in text and cell["name"] == "Acme Engine · swift · fp32"
    results = load_results(measured).results
    assert choose(results, Wish(licences=("Acme EULA",))).pick == CELL
    # What a file names does not become a line for people to install.
    assert not [line for line in reproduce(results, CELL).install if line.startswith("acme")]


def test_results_from_before_they_kept_such_facts(measured: Path) -> None:
    data = json.loads((measured / "results.json").read_text(encoding="utf-8"))
    for damage in ({}, None, {"acme": {"title": 5}}, {"acme": "x"}):
        results, _ = parse_results({**data, "runtimes": damage})
        text, cell = _texts(results)
        assert "| `acme` | acme | unknown |" in text and cell["name"] == "acme · swift · fp32"
        assert choose(results, Wish(licences=("open",))).pick is None
        assert choose(results).pick == CELL


def test_a_file_can_not_have_a_module_imported(measured: Path) -> None:
    results = load_results(measured).results
    sys.modules.pop("this", None)
    assert facts_of(results, "this:s").title == "this:s"
    assert "this" not in sys.modules
