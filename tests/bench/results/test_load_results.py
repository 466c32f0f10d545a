"""A damaged, hostile, older or newer results file is read as far as possible, or refused in one line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from depthport.bench.cli.app import app
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.load_results import ResultsError, load_results, parse_results
from depthport.bench.results.model import Status
from depthport.bench.results.samples import COLUMNS
from depthport.bench.results.sections import ProtocolSection
from tests.support import results as fixtures
from tests.support.hostile import hostile
from tests.support.paths import ROOT


def as_json(results: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(results.to_json())))


@pytest.mark.parametrize("make", [fixtures.cpu_server, fixtures.h100, fixtures.mac, fixtures.synthetic])
def test_what_bench_writes_reads_back_equal_and_without_a_note(make: Any) -> None:
    data = as_json(make())
    results, notes = parse_results(data)
    assert results.to_json() == data
    assert notes == ()


def test_a_folder_stands_for_its_results_file(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(as_json(fixtures.cpu_server(fixtures.FEW))))
    loaded = load_results(tmp_path)
    assert loaded.folder == tmp_path
    assert loaded.results.cells


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not valid JSON"),
        (b'{"schema": "depthport.results/1", "cells": [', "cut short"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"[]", "top level is not an object"),
        (b"{}", "not a depthport results file"),
        (b'{"schema": "depthport.results/1"}', "no list of cells"),
        (b'{"schema": "depthport.results/1", "cells": {}}', "no list of cells"),
        (b'{"schema": "depthport.results/2", "cells": []}', "newer"),
        (b'{"schema": "depthport.results/0", "cells": []}', "older"),
        (b'{"schema": "depthport.artifact/1", "cells": []}', "not a depthport results file"),
        (b'{"schema": "<script>\\u001b[31m", "cells": []}', "not a depthport results file"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"schema": "depthport.results/1", "cells": [' + b"9" * 5000 + b"]}", ""),
    ],
)
def test_what_can_not_be_read_says_why_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)
    try:
        loaded = load_results(path)
    except ResultsError as error:
        text = str(error)
        assert says in text
        assert "\n" not in text and "\x1b" not in text and len(text) < 400
        assert error.exit_code == 2
    else:  # Python 3.10 without the digit limit reads the long integer: then the cell is left out
        assert says == "" and loaded.notes


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="depthport run"):
        load_results(tmp_path / "none.json")


def test_hostile_content_is_cleaned_and_every_repair_noted() -> None:
    results, notes = parse_results(json.loads(json.dumps(hostile()), parse_constant=lambda _: None))
    text = json.dumps(results.to_json(), allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")
    assert not any(c in text for c in "\x1b\u202e\u2028\u2029")
    assert 0 < len(notes) <= 41
    assert len({cell.id for cell in results.cells}) == len(results.cells)
    for cell in results.cells:
        assert isinstance(cell.status, Status)
        for timing in cell.timing.values():
            assert timing.samples.ms == [5.0, 1e-308] or all(0 < ms < 1e12 for ms in timing.samples.ms)


def test_samples_without_a_latency_go_with_their_time_stamps() -> None:
    data = as_json(fixtures.cpu_server(fixtures.FEW))
    block = data["cells"][0]["timing"]["device"]["samples"]
    block["ms"][3] = None
    block["ms"][5] = -1.0
    results, notes = parse_results(data)
    read = results.cells[0].timing["device"].samples
    count = len(block["ms"])
    expected = [i for i in range(count) if i not in (3, 5)]
    assert read.start_s == [block["start_s"][i] for i in expected]
    kept = [name for name in ("ms", *COLUMNS) if block.get(name)]
    assert {len(getattr(read, name)) for name in kept} == {count - 2} and len(kept) >= len(COLUMNS) - 1
    assert any(f"2 of {count} samples" in note for note in notes)


def test_not_a_number_in_a_figure_is_not_measured() -> None:
    data = as_json(fixtures.cpu_server(fixtures.FEW))
    timing = data["cells"][0]["timing"]["device"]
    timing["p90_ms"], timing["ci95_ms"] = math.nan, [math.nan, 3.0]
    results, notes = parse_results(data)
    assert results.cells[0].timing["device"].p90_ms is None
    assert results.cells[0].timing["device"].ci95_ms is None
    assert len(notes) == 1 and "ci95_ms was left out" in notes[0]


def test_unknown_fields_are_one_line_each() -> None:
    data = as_json(fixtures.cpu_server(fixtures.FEW))
    sound = parse_results(data)[0]
    data["future"] = 1
    for cell in data["cells"]:
        cell["future"] = {"x": 1}
    results, notes = parse_results(data)
    assert results == sound
    assert notes[0] == "future is not known to this version and was left out"
    assert notes[1] == f"cells.future is not known to this version and was left out ({len(data['cells'])} times)"


def test_a_damaged_cell_costs_no_other() -> None:
    data = as_json(fixtures.cpu_server(fixtures.FEW))
    sound = parse_results(data)[0]
    data["cells"][1] = {**data["cells"][1], "views": "many"}
    data["cells"][2]["regime"] = {"kind": "fixed-rate", "rate_hz": 30.0}
    results, notes = parse_results(data)
    assert results.cells == [sound.cells[0], *sound.cells[2:]]
    assert notes == (
        "cells.views was left out: expected `int`, got `str`",
        "cells was left out: `views` is missing or damaged",
        "cells.regime was left out: `frames` is missing or damaged",
    )


SECTIONS = ("environment", "protocol", "inputs", "weights", "controls", "runtimes")


def places(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every mapping's key below `data`, with those above it."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield (*path, key)
            yield from places(value, (*path, key))


def test_every_damaged_field_of_every_section_is_one_line_and_costs_no_other() -> None:
    data = as_json(fixtures.cpu_server(fixtures.FEW))
    sound = parse_results(data)[0].to_json()
    damaged = [place for section in SECTIONS for place in [(section,), *places(data[section], (section,))]]
    assert len(damaged) > 60
    for place in damaged:
        broken = json.loads(json.dumps(data))
        *above, last = place
        holder = broken
        for key in above:
            holder = holder[key]
        holder[last] = [[7]] if isinstance(holder[last], dict) else {"x": [7]}
        results, notes = parse_results(broken)
        assert [note for note in notes if note.startswith(".".join(place))], place
        assert {**results.to_json(), place[0]: None} == {**sound, place[0]: None}


def test_unknown_fields_of_sections_are_one_line_each() -> None:
    data = as_json(fixtures.cpu_server(fixtures.FEW))
    data["environment"]["cpu"]["future"] = data["protocol"]["future"] = data["weights"]["da3-small"]["future"] = 1
    _, notes = parse_results(data)
    assert [note.partition(" ")[0] for note in notes] == [
        "environment.cpu.future", "protocol.future", "weights.da3-small.future",
    ]  # fmt: skip


def test_the_protocols_section_has_its_parameters() -> None:
    beside = {"truth_scenes", "threads", "regime", "suite", "asked", "yardstick"}
    assert ProtocolSection.__annotations__.keys() - beside == {field.name for field in dataclasses.fields(Protocol)}


def test_damage_is_said_on_stderr_and_in_the_report(tmp_path: Path) -> None:
    data = as_json(fixtures.cpu_server(fixtures.FEW))
    data["environment"]["cpu"] = 5
    (tmp_path / "results.json").write_text(json.dumps(data))
    said = "environment.cpu was left out: expected `object`, got `int`"
    for words in (["report"], ["choose"], ["compare", str(tmp_path)]):
        done = CliRunner().invoke(app, [words[0], str(tmp_path), *words[1:]])
        assert said in done.stderr, (words, done.output)
    assert said in (tmp_path / "report.md").read_text(encoding="utf-8").replace("\\", "")
    assert said in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", sorted((ROOT / "bench" / "records").glob("*/results.json")), ids=lambda p: p.parent.name)
def test_published_results_of_older_versions_load(source: Path) -> None:
    loaded = load_results(source)
    assert loaded.notes == () and len(loaded.results.cells) > 2


def test_a_million_samples_are_read(tmp_path: Path) -> None:
    data = as_json(fixtures.cpu_server(fixtures.FEW))
    count = 1_000_000
    data["cells"][0]["timing"]["device"]["samples"] = {"ms": [1.5] * count, "start_s": [0.5] * count}
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    assert len(load_results(path).results.cells[0].timing["device"].samples.ms) == count


@pytest.mark.parametrize("median", [0, 5e-324, 1e-300, -1.0, 1e308])
def test_a_time_that_none_takes_is_no_time(median: float) -> None:
    from depthport.bench.choice.choose import choose

    data = as_json(fixtures.cpu_server(fixtures.FEW))
    for row in data["cells"]:
        for block in row["timing"].values():
            block |= {"median_ms": median, "ci95_ms": [median, median]}
    results, notes = parse_results(data)
    assert notes and choose(results).pick is None
