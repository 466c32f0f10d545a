"""The published JSON Schema says what is written, and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from depthport.bench.results.model import SCHEMA, Results
from depthport.bench.results.regimes import LARGEST, SMALLEST
from depthport.bench.results.schema import results_schema
from tests.support import results as fixtures
from tests.support.paths import ROOT

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (pip install jsonschema)")

TEXT = results_schema()


def test_the_command_prints_a_valid_schema() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "depthport.bench.results.schema"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    printed = json.loads(done.stdout)
    assert printed == json.loads(json.dumps(TEXT)) and printed["$id"] == SCHEMA
    jsonschema.Draft202012Validator.check_schema(printed)


def test_it_describes_every_class_and_speaks_of_its_fields() -> None:
    assert {"Cell", "Timing", "Samples", "Speedup", "Control", "FixedRateSummary", "Placement"} <= set(TEXT["$defs"])
    assert all(definition["description"] for name, definition in TEXT["$defs"].items())
    assert TEXT["$defs"]["Timing"]["properties"]["img_s"]["description"] == "Images per second: B·N / median latency."
    assert set(TEXT["required"]) == {"schema", "environment", "protocol", "inputs", "weights", "cells"}


@pytest.mark.parametrize("make", [fixtures.cpu_server, fixtures.h100, fixtures.mac, fixtures.synthetic])
def test_results_validate(make: Callable[[], Results]) -> None:
    jsonschema.validate(make().to_json(), TEXT)


@pytest.mark.parametrize(
    "damage",
    [
        {"status": "fine"}, {"views": 0}, {"launches": -1}, {"speedup": {"device": {"ratio": -1.0}}}, {"views": "two"},
        {"timing": {"cloud": {}}}, {"viewz": 1},
    ],
)  # fmt: skip
def test_reader_and_schema_refuse_the_same(damage: dict[str, Any]) -> None:
    data = fixtures.cpu_server(fixtures.FEW).to_json()
    data["cells"][0].update(damage)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(data, Results)
    if "timing" not in damage:  # msgspec's schemas do not constrain a mapping's keys
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data, TEXT)


def test_every_figure_has_bounds() -> None:
    """An absurd figure would fill a page with digits."""
    for name in ("median_ms", "p99_ms", "img_s"):
        found = TEXT["$defs"]["Timing"]["properties"][name]["anyOf"][0]
        assert (found["minimum"], found["exclusiveMaximum"]) == (SMALLEST, LARGEST)
