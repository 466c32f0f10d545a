"""How commands present themselves: panels, listed words, examples, old names, verbosity, narrow terminals."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console
from typer.testing import CliRunner

from depthport.bench.choice.choose import choose
from depthport.bench.choice.compare import compare
from depthport.bench.cli.app import app, main
from depthport.bench.cli.command import PANELS, VERBOSITY
from depthport.bench.cli.console import render_choice, render_comparison
from depthport.bench.cli.progress import observer_for
from depthport.bench.cli.summary import render_summary
from depthport.bench.cli.words import Words
from depthport.bench.results.load_results import load_results
from depthport.bench.results.model import Results
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.registry import formats
from depthport.runtimes.registry import runtimes
from tests.support import results as fixtures
from tests.support.paths import ROOT

WIDE = {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}


def helped(*command: str) -> str:
    done = CliRunner().invoke(app, [*command, "--help"], env=WIDE)
    assert done.exit_code == 0, done.output
    return done.stdout


def panels(text: str) -> list[str]:
    return [name for name in re.findall(r"^╭─ (.+?) ─+╮$", text, re.MULTILINE) if name in PANELS]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("run", ["Model", "Inputs", "What to measure", "Output"]),
        ("bench", ["Model", "Inputs", "What to measure", "Output", "Expert"]),
        ("export", ["Model", "Inputs", "Output", "Expert"]),
        ("choose", ["Inputs", "Constraints", "Output"]),
    ],
)
def test_options_stand_in_panels_in_one_order(command: str, shown: list[str]) -> None:
    assert list(dict.fromkeys(panels(helped(command)))) == shown


def test_what_a_statistician_turns_is_for_experts() -> None:
    expert = helped("bench").rpartition("╭─ Expert")[2]
    for option in ("--protocol", "--launches", "--seed", "--regime", "--rate-hz", "--minutes", "--interpreter"):
        assert option in expert


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("export", formats()),
        ("export", ["ort-cpu", "iOS18", "sm89", "xnnpack"]),
        ("bench", runtimes()),
        ("bench", ["default", "quick", "alternatives", "rigorous", "network", "pipeline", "bf16-fp16"]),
        ("choose", ["latency_ms", "memory_mib"]),
        ("sample", ["python", "triton"]),
        ("check", ["tensorrt", "tensorrt-rtx"]),
    ],
)
def test_help_lists_the_words_that_there_are(command: str, words: list[str]) -> None:
    text = re.sub(r"[│\s]+", " ", helped(command))
    assert not [word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]


def test_every_kind_of_word_has_some() -> None:
    assert {kind.metavar for kind in Words.by_metavar.values()} == set(Words.by_metavar)
    for kind in Words.by_metavar.values():
        assert all(kind.check(word) == word for word in kind.known()), kind
        assert list(kind.known()), kind


def test_examples_are_a_block_of_lines_that_can_be_copied() -> None:
    lines = [line.strip() for line in helped("run").splitlines()]
    at = lines.index("Examples")
    assert lines[at + 1] == "depthport run da3-small" and all(
        line.startswith("depthport ") for line in lines[at + 1 :] if line
    )


def test_alone_it_shows_its_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["fleet"]):
        monkeypatch.setattr(sys, "argv", ["depthport", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0 and "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (["run", "--model", "da4"], "--model is an old name of the first argument (da4)"),
        (["batch", "da3-small", "--most", "0"], "batch is an old name of max-batch"),
        (["choose", "RESULTS", "--max-memory-mb", "1e9"], "--max-memory-mb is an old name of --max-memory-mib"),
    ],
)
def test_old_names_work_and_say_the_new_one(words: list[str], warned: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(fixtures.cpu_server(fixtures.FEW).to_json()))
    done = CliRunner().invoke(app, [str(tmp_path) if word == "RESULTS" else word for word in words])
    assert f"warning: {warned}" in done.stderr
    shown = helped() if words[0] == "batch" else helped(words[0])
    assert not re.search(rf"^│ +{warned.split()[0]} ", shown, re.MULTILINE) and "max-batch" in helped()


def test_both_spellings_of_a_licence(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(fixtures.cpu_server(fixtures.FEW).to_json()))
    said = [
        CliRunner().invoke(app, ["choose", str(tmp_path), option, "open"]).stdout for option in ("--licence", "--license")
    ]
    assert said[0] == said[1] and said[0]


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        ("-q", ["warning: careful"]),
        ("", ["a stage ...", "a note", "warning: careful"]),
        ("-v", ["a stage ...", "  a step", "a note", "warning: careful"]),
    ],
)
def test_quiet_and_verbose(switch: str, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    CliRunner().invoke(app, ["list", "no/such/folder", *switch.split()])
    text = io.StringIO()
    observer = observer_for(Console(file=text, width=80))
    observer.stage("a stage")
    observer.step("a step")
    observer.note("a note")
    observer.warning("careful")
    assert text.getvalue().splitlines() == said
    VERBOSITY.set("usual")


def test_verbose_says_where_an_error_was_raised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["depthport", "list", "no/such/folder", "--verbose"])
    with pytest.raises(SystemExit) as ended:
        main()
    VERBOSITY.set("usual")
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "Traceback" in said and said.splitlines()[-1].startswith("depthport: no/such/folder")


def recorded() -> list[Results]:
    runs = [load_results(path).results for path in sorted((ROOT / "bench" / "records").glob("*/results.json"))]
    long = fixtures.h100()
    longest = "tensorrt-rtx/cuda:1/upstream-compile/bf16-fp16/sm89"
    cells = [structs.replace(cell, id=longest) if cell.mode == "graph" else cell for cell in long.cells]
    return [*runs, fixtures.cpu_server(), structs.replace(long, cells=cells)]


def test_at_80_columns_no_table_cuts_a_name(tmp_path: Path) -> None:
    for run in recorded():
        choice = choose(run)
        timed = [cell.id for cell in run.cells if cell.timing]
        named = [*choice.figures, *(rejected.cell for rejected in choice.rejected)]
        summary = narrow(partial(render_summary, run, [], ArtifactStore(tmp_path)))
        chosen = narrow(partial(render_choice, choice))
        compared = narrow(partial(render_comparison, compare(run, run)))
        for names, text in ((timed, summary), (named, chosen), (timed, compared)):
            assert not [name for name in names if name not in text]
            # A reason may have been shortened where it was recorded; a row of figures never is.
            assert not [line for line in text.splitlines() if "…" in line and any(name in line for name in names)]
        assert all(len(line) <= 80 for text in (chosen, compared) for line in text.splitlines())


def narrow(render: Callable[[Console], None]) -> str:
    text = io.StringIO()
    render(Console(file=text, width=80))
    return text.getvalue()
