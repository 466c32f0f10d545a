"""`--json`: one object a command, of the kind and with the fields that docs/json.md promises; errors too."""

from __future__ import annotations

import json
import re
import sys

import pytest
from typer.testing import CliRunner

from depthport.bench.cli.app import app, main
from tests.support import results as fixtures
from tests.support.fake_runtime import fake_artifact
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| `([a-z-]+)` \| (.+) \|$", PAGE, re.MULTILINE)


def promised(kind: str) -> set[str]:
    (fields,) = [fields for _, named, fields in ROWS if named == kind]
    return set(re.findall(r"`([a-z_0-9]+)`", fields))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("json")
    run = fixtures.cpu_server(fixtures.FEW)
    (folder / "results.json").write_text(json.dumps(run.to_json()))
    return {
        "RESULTS": str(folder / "results.json"),
        "CELL": run.cells[0].id,
        "ARTIFACT": str(fake_artifact(folder / "store" / "a").path),
        "STORE": str(folder / "store"),
        "OUT": str(folder / "report"),
    }


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("doctor", "doctor"),
        ("missing", "doctor --install onnx"),
        ("list", "list STORE"),
        ("inspect", "inspect ARTIFACT"),
        ("report", "report RESULTS --out OUT"),
        ("compare", "compare RESULTS RESULTS"),
        ("choose", "choose RESULTS"),
        ("reproduce", "reproduce RESULTS CELL"),
    ],
)
def test_an_answer_is_what_the_page_promises(kind: str, words: str, files: dict[str, str]) -> None:
    done = CliRunner().invoke(app, [*(files.get(word, word) for word in words.split()), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found.pop("schema") == f"depthport.{kind}/1"
    assert set(found) == promised(kind)


def test_the_page_has_every_kind_that_commands_print() -> None:
    printed = set()
    for path in (ROOT / "bench" / "cli").glob("*.py"):
        printed |= set(re.findall(r"(?:print_json|show)\(\s*\"([a-z-]+)\"", path.read_text(encoding="utf-8")))
    assert printed == {kind for _, kind, _ in ROWS}


@pytest.mark.parametrize("asked", [["--json"], []])
def test_an_error_is_an_answer_too(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["depthport", "report", "no-such-folder", *asked])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.err.startswith("depthport: no-such-folder")
    if not asked:
        assert not said.out
        return
    found = json.loads(said.out)
    assert found == {"schema": "depthport.error/1", "error": said.err.strip().removeprefix("depthport: "), "exit_code": 2}
