"""A report can be shown to anybody: no photograph of its user's own unless asked, no name of host, user or path."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from depthport.bench.report.model.merge import Run
from depthport.bench.report.model.pictures import shipped_inputs
from depthport.bench.report.write import write_report
from depthport.bench.results.model import Results
from tests.support import results as fixtures


def run_on(folder: Path, name: object) -> Results:
    results = fixtures.cpu_server(fixtures.FEW)
    inputs: Any = results.inputs
    inputs.update({"name": name, "picture": "views.png"})
    Image.new("RGB", (64, 48), (200, 30, 90)).save(folder / "views.png")
    (folder / "results.json").write_text(json.dumps(results.to_json()))
    return results


def embedded(page: Path) -> list[str]:
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert data is not None
    return list(json.loads(data[1])["pictures"])


@pytest.mark.parametrize(
    ("name", "asked", "shown"),
    [("motorcycle", False, True), ("motorcycle + astronaut", False, True), ("images", False, False),
     ("images", True, True), (None, False, False)],
)  # fmt: skip
def test_photographs_are_in_the_page_if_shipped_or_asked_for(
    tmp_path: Path, name: object, asked: bool, shown: bool
) -> None:
    run_on(tmp_path, name)
    (page,) = write_report([tmp_path], tmp_path, ("html",), own_images=asked)
    assert bool(embedded(page)) is shown


@pytest.mark.parametrize("name", ["motorcycle mirrored", "coffee, windows 1", "rocket mirrored, windows 2"])
def test_every_variant_of_the_shipped_scenes_is_known(name: str) -> None:
    results = fixtures.cpu_server(fixtures.FEW)
    results.inputs["name"] = name
    assert shipped_inputs(Run(results, None, ()))


def test_no_host_user_or_path_of_the_environment_enters(tmp_path: Path) -> None:
    results = fixtures.cpu_server(fixtures.FEW)
    secrets: dict[str, Any] = {"hostname": "box-7.example", "user": "jdoe", "cwd": "/home/jdoe/depth", "argv": ["x"]}
    environment: Any = results.environment
    environment.update({**secrets, "cpu": {**environment["cpu"], "host": "box-7"}})
    for path in write_report([results], tmp_path):
        text = path.read_text(encoding="utf-8")
        assert not any(secret in text for secret in ("box-7", "jdoe", "/home/"))
