"""What a file names is looked up among what is installed; never imported. A harmless module shows if it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from depthport.bench.choice.choose import choose
from depthport.bench.choice.compare import compare
from depthport.bench.choice.reproduce import reproduce
from depthport.bench.cli.app import app
from depthport.bench.report.write import write_report
from depthport.bench.results.journal import Journal
from depthport.bench.results.load_results import load_results
from depthport.exporters.core.artifact import MANIFEST, load_artifact
from depthport.exporters.core.errors import DepthportError, UsageError
from depthport.exporters.registry import get_exporter
from depthport.runtimes.registry import get_runtime
from tests.support import results as fixtures
from tests.support.fake_runtime import fake_artifact

MODULE = "depthport_marker_module"


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """A module on the path; the answer is whether anybody imported it."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / f"{MODULE}.py").write_text("class Evil:\n    pass\n\ndef call():\n    raise SystemExit('called')\n")
    monkeypatch.syspath_prepend(folder)
    yield lambda: MODULE in sys.modules
    sys.modules.pop(MODULE, None)


NAMES = (f"{MODULE}:Evil", f"{MODULE}:call", f"{MODULE}:", MODULE, f"{MODULE}.Evil")


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest(name: str, tmp_path: Path, marked: Callable[[], bool]) -> None:
    folder = fake_artifact(tmp_path / "artifact").path
    data = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**data, "format": name}))
    shown = CliRunner().invoke(app, ["inspect", str(folder)])
    assert shown.exit_code == 0 and "No exporter of this format is installed" in " ".join(shown.stdout.split())
    artifact = load_artifact(folder)
    for runtime in ("pytorch", "onnxruntime"):
        with pytest.raises(DepthportError):
            get_runtime(runtime).load(artifact, "cpu")
    assert not marked()


@pytest.mark.parametrize("name", NAMES)
def test_results(name: str, tmp_path: Path, marked: Callable[[], bool]) -> None:
    data = json.loads(json.dumps(fixtures.cpu_server(fixtures.FEW).to_json()))
    for cell in data["cells"]:
        cell.update(runtime=name, format=name, device=name, mode=name)
        cell["placement"] = {"provider": name}
    data["runtimes"] = {}
    (tmp_path / "results.json").write_text(json.dumps(data))
    results = load_results(tmp_path).results
    write_report([tmp_path], tmp_path / "report")
    compare(results, results)
    choose(results)
    if ":" in name:
        with pytest.raises(UsageError, match="is not a valid name"):
            reproduce(results, results.cells[0].id)
    else:
        reproduce(results, results.cells[0].id)
    assert not marked()


def test_a_journal(tmp_path: Path, marked: Callable[[], bool]) -> None:
    entries = [
        {"kind": "header", "plan": f"{MODULE}:Evil"},
        {"kind": "artifact", "cell": "x", "artifact": f"{MODULE}:call"},
    ]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with suppress(DepthportError):
        Journal(tmp_path / "journal.jsonl").close()
    assert not marked()


@pytest.mark.parametrize("get", [get_exporter, get_runtime])
@pytest.mark.parametrize(
    "typed",
    ["os:path", "json:loads", "json:JSONDecoder", f"{MODULE}:Evil", f"{MODULE}:call", ":", ":x", "os:", ".x:y", "a b:c",
     "depthport.runtimes.base:Runtime", "depthport.exporters.base:Exporter"],
)  # fmt: skip
def test_what_is_typed_must_be_a_class_of_ours(get: Any, typed: str, marked: Callable[[], bool]) -> None:
    with pytest.raises(UsageError) as raised:
        get(typed)
    assert raised.value.exit_code == 2 and "\n" not in str(raised.value) and len(str(raised.value)) < 300


def test_a_module_that_does_not_import_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "depthport_broken_module.py").write_text("raise RuntimeError('two\\nlines \\x1b[31m')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"RuntimeError: two$"):
        get_runtime("depthport_broken_module:X")
