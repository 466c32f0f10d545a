"""What goes into the page: safe JSON, third-party files as published, pictures from the run's own folder only."""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import force_setattr

from depthport.bench.report.model.merge import Run, merge
from depthport.bench.report.model.pictures import Album, picture_path
from depthport.bench.report.model.series import limit_per_series, thin
from depthport.bench.report.page.html import ASSETS, safe_json
from depthport.bench.report.write import write_report
from depthport.bench.results.samples import Samples
from tests.support import results as fixtures


def test_json_can_not_end_its_element() -> None:
    data = {"</script><!--": ["\u2028", "]]>", "&lt;", "é"]}
    text = safe_json(data)
    assert text.isascii() and not set("<>&") & set(text)
    assert json.loads(text) == data


def test_third_party_files_are_those_of_the_notice() -> None:
    vendor = ASSETS / "vendor"
    lines = re.findall(
        r"^\| `([^`]+)` .*\[.*\]\(([^)]+)\) \| `([0-9a-f]{64})` \|$", (vendor / "NOTICE.md").read_text(), re.M
    )
    assert len(lines) == 3
    for name, licence, sha256 in lines:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == sha256
        assert (vendor / licence).stat().st_size > 500


def test_the_policy_names_every_script_by_its_hash(tmp_path: Path) -> None:
    page = write_report([fixtures.cpu_server(fixtures.FEW)], tmp_path, ("html",))[0].read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None and "'unsafe-inline'" not in policy[1].split("style-src")[0]
    assert "default-src 'none'" in policy[1] and policy[1].count("'sha256-") == 3
    assert "http-equiv" in page and not re.search(r"<(link|iframe|object|img)\b", page.split("<script")[0])


@pytest.mark.parametrize("place", ["@DATA@", "@TITLE@", "@SCRIPT@", "@STYLE@", "@CSP@", "@NOBODY@", "\\\\1\\\\g<0>"])
def test_a_machine_called_like_a_place_of_the_template(place: str, tmp_path: Path) -> None:
    results = fixtures.cpu_server(fixtures.FEW)
    results.environment["cpu"]["model"] = place
    force_setattr(results.cells[0], "mode_description", place)
    page = write_report([results], tmp_path, ("html",))[0].read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert place in json.dumps(json.loads(data), ensure_ascii=False) or "\\" in place
    assert html.escape(place) in page.split("</title>")[0] and page.count("<title>") == 1


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "C:\\x.png", "..\\secret.png", "a/../../secret.png", "", 5]
)
def test_pictures_stay_inside_the_run(tmp_path: Path, name: object) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    assert picture_path(Run(fixtures.cpu_server(fixtures.FEW), folder, ()), name) is None


def test_a_link_out_of_the_run_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    assert picture_path(Run(fixtures.cpu_server(fixtures.FEW), folder, ()), "link.png") is None


def test_what_is_no_image_is_left_out_and_the_budget_holds(tmp_path: Path) -> None:
    results = fixtures.cpu_server(out=tmp_path)
    (tmp_path / "text.png").write_text("<script>")
    run = Run(results, tmp_path, ())
    assert Album(1e9).add(run, "text.png") is None
    whole = Album(1e9)
    for cell in results.cells:
        whole.add(run, cell.pictures.get("depth"))
    assert whole.left_out == 0
    small = Album(whole.spent / 2)
    for cell in results.cells:
        small.add(run, cell.pictures.get("depth"))
    assert 0 < small.spent <= whole.spent / 2 and small.left_out > 0


def test_thinning_keeps_the_extremes_and_the_order() -> None:
    ms = np.random.default_rng(0).normal(10, 1, 50_000)
    ms[31_337] = 99.0
    series = thin(Samples(ms=ms.tolist()), 1000)
    assert len(series.ms) <= 1000 and series.total == 50_000
    assert series.ms.max() == 99.0 and series.ms.min() == ms.min()
    assert (np.diff(series.start_s) > 0).all()
    assert limit_per_series([10**6] * 500, 1e6) * 500 * 5.4 <= 1.2e6


def test_a_million_samples_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    results = fixtures.cpu_server(fixtures.FEW)
    force_setattr(results.cells[0].timing["device"], "samples", Samples(ms=[1.0] * 10**6))
    page = write_report([results], tmp_path, ("html",))[0]
    assert page.stat().st_size < 5_000_000


def test_one_machine_twice_is_one_section_with_the_newer_run_leading() -> None:
    old, new = fixtures.h100(seed=1, created="2026-01-01T00:00:00+00:00"), fixtures.h100(seed=2)
    report = merge([old, new])
    (machine,) = report.machines
    assert [run.results.created for run in machine.runs] == [new.created, old.created]
    row = machine.groups[0].rows[0]
    assert row.run.results is new and row.history[0][0].results is old


def test_machines_stay_apart_and_ratios_across_them_have_their_section(tmp_path: Path) -> None:
    (path,) = write_report([fixtures.h100(), fixtures.mac(), fixtures.cpu_server()], tmp_path, ("md",))
    text = path.read_text(encoding="utf-8")
    assert "## Cross-device comparison" in text and "## Recommendations" in text
    before = text.split("## Cross-device comparison")[0]
    assert "Times [95 %]" not in before
    alone = write_report([fixtures.h100()], tmp_path, ("md",))[0].read_text(encoding="utf-8")
    assert "One device gave figures" in alone and "Times [95 %]" not in alone
