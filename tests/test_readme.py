"""What the README says is true: its commands exist and take those options, its links lead somewhere.

The commands that need no minutes run here; `make test-slow` runs every one, as it is printed.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from depthport.bench.diagnose.checkpoints import checkpoints
from tests.support.paths import ROOT

README = ROOT / "README.md"
COMMANDS = ROOT / "docs" / "commands.md"
RECORDED = (README, ROOT / "docs" / "cpu.md")
"""Pages that `make records` writes into."""
PAGES = [
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "node_modules", "results"} & set(path.relative_to(ROOT).parts)
    and not path.is_relative_to(ROOT / "artifacts" / "da3")
]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Every command line of a page's bash blocks, without comments; continued lines are joined."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return [" ".join(shlex.split(line, comments=True)) for line in text.splitlines() if line.split("#")[0].strip()]


ALL = [(page, line) for page in PAGES for line in commands(page)]
IDS = [f"{page.relative_to(ROOT)}: {line}" for page, line in ALL]


def click_command(words: list[str]) -> tuple[Any, list[str]]:
    """The (sub)command that `depthport WORDS...` calls, and the rest of the words."""
    import typer.main

    from depthport.bench.cli.app import app

    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize(("page", "line"), ALL, ids=IDS)
def test_every_command_exists_and_takes_its_options(page: Path, line: str) -> None:
    words = shlex.split(line)
    while "=" in words[0]:  # environment variables before the command
        words.pop(0)
    program, *rest = words
    if Path(program).name == "depthport":
        _check_depthport(rest)
    elif program == "make":
        targets = [word for word in rest if "=" not in word]
        done = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    else:
        known = {"pip", "uv", "git", "cd", "python", "python3", "apt-get", "npm"}
        assert Path(program).name in known, f"teach this test to check {program!r}"


def _check_depthport(words: list[str]) -> None:
    command, rest = click_command(words)
    assert not getattr(command, "commands", None) or all(word.startswith("-") for word in rest), "no such command"
    by_name = {name: p for p in command.params for name in (*p.opts, *p.secondary_opts)}
    positionals = 0
    iterator = iter(rest)
    for word in iterator:
        if word.startswith("-") and word not in ("-h", "--help"):
            option = by_name[word.split("=")[0]]
            if "=" not in word and not getattr(option, "is_flag", False):
                assert next(iterator, None) is not None, f"{word} has no value"
        elif not word.startswith("-"):
            positionals += 1
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    # `--images a.jpg b.jpg` may be followed by several files.
    several = any(p.nargs == -1 for p in arguments) or "--images" in rest
    assert several or positionals <= len(arguments), "more arguments than the command takes"
    assert positionals >= sum(p.required for p in arguments), "an argument is missing"


def test_the_page_of_commands_names_every_command() -> None:
    shown = {line.split()[1] for page, line in ALL if page == COMMANDS and line.startswith("depthport ")}
    assert {name for name, command in click_command([])[0].commands.items() if not command.hidden} <= shown


@pytest.mark.parametrize("code", blocks(README, "python"))
def test_python_examples_name_what_exists(code: str) -> None:
    import importlib

    tree = ast.parse(code)
    modules = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(importlib.import_module(node.value.id), node.attr), ast.unparse(node)


def slug(heading: str) -> str:
    """The anchor GitHub gives a heading."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = {slug(heading) for heading in re.findall(r"^#{1,6} +(.*)$", text, re.MULTILINE)}
    return found | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


def link_targets(page: Path) -> list[str]:
    """Where a page's links and pictures point."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(<?([^)\s>]+)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)


def tracked(folder: str) -> list[str]:
    """The files of a folder that git has."""
    try:
        command = ["git", "ls-files", folder]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in link_targets(page):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), f"{target}: link over https"
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}, which does not exist"
        assert linked.is_relative_to(ROOT), f"{target} is outside the project"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{target}: no such heading"


def test_doctor_runs_as_printed() -> None:
    done = _run("depthport doctor", ROOT)
    assert done.returncode == 0, done.stderr
    assert "Checkpoints" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_every_command_of_the_readme_runs_as_printed(tmp_path: Path) -> None:
    """And every command's own page: in one folder, as a reader would; files a line names are those of the first run."""
    data = pytest.importorskip("skimage.data")
    lines = [line for line in dict.fromkeys([*commands(README), *commands(COMMANDS)]) if line.startswith("depthport ")]
    lines.sort(key=lambda line: not line.startswith("depthport run"))
    for name, picture in {"a.jpg": "coffee", "b.jpg": "chelsea", "left.jpg": "coffee", "right.jpg": "chelsea"}.items():
        Image.fromarray(getattr(data, picture)()).save(tmp_path / name)
    # Where the checkpoints are not available exports refuse, and random weights do for this.
    cached = all(row.cached_mib for row in checkpoints())
    for line in lines:
        for name in re.findall(r"\S+\.json", line):
            shutil.copy(tmp_path / "results" / "results.json", tmp_path / name)
        if not cached and line.split()[1] in ("export", "predict", "check"):
            line += " --weights synthetic:0"
        done = _run(line, tmp_path)
        # 1 is an answer too: a result below what was asked, on this machine.
        assert done.returncode in (0, 1), f"{line}: {done.stderr}"
        assert "Traceback" not in done.stderr
    for code in blocks(README, "python"):
        code = code if cached else code.replace('export("da3-small", ', 'export("da3-small", weights="synthetic:0", ')
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=_path())
        assert done.returncode == 0, done.stderr


def _run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "depthport", *shlex.split(line)[1:]]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=_path())


def _path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def test_recorded_figures_are_those_of_the_records() -> None:
    """`make records` writes them: where this fails, records or report changed and it was not run."""
    from depthport.bench.report.markdown.excerpt import rewritten
    from depthport.bench.report.model.merge import merge

    records = sorted(path.parent for path in (ROOT / "bench" / "records").glob("*/results.json"))
    report = merge(records)
    for page in RECORDED:
        text = page.read_text(encoding="utf-8")
        assert rewritten(text, report) == text, "run `make records`"
    for name in ("report.md", "report.png"):
        assert (ROOT / "bench" / "records" / name).is_file()


def test_every_recorded_picture_is_on_a_page() -> None:
    """What is made by `make records` and shown nowhere (the page, the photographs fed) is not kept."""
    listing = tracked("bench/records")
    assert "bench/records/report.html" not in listing
    pictures = {ROOT / name for name in listing if Path(name).suffix in {".png", ".jpg", ".svg", ".webp"}}
    shown = {(page.parent / target).resolve() for page in PAGES for target in link_targets(page)}
    assert pictures and not pictures - shown
