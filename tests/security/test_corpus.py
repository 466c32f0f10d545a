"""Bad input to every command: the documented exit code, one line, nothing left behind, little time and memory."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.corpus.cases import Case, cases
from tests.support.paths import ROOT

if os.name != "posix":
    pytest.skip("cases run in copies of one process (fork)", allow_module_level=True)

SAMPLE = 320
IN_FULL = 6
"""Cases that start an interpreter of their own."""
LONGEST_LINE = 300
THEIRS = tuple(map(Path, ("home/.cache", "home/intel", "temporary/.ses")))
"""What importing ONNX Runtime and OpenVINO leaves, whatever is then done."""
MOST_CPU_S, MOST_MIB = 10.0, 1024.0


def sample(every: list[Case], count: int) -> list[Case]:
    """`count` of them, each parameter of each command and each kind of fault among them; the rest by chance."""
    chance = random.Random(0)
    shuffled = chance.sample(every, len(every))
    wanted = {(case.arguments[0], case.kind.partition(":")[0]): case for case in shuffled}
    wanted |= {("", case.kind.partition(":")[2]): case for case in shuffled}
    chosen = dict.fromkeys(wanted.values())
    chosen |= dict.fromkeys([case for case in shuffled if case not in chosen][: max(0, count - len(chosen))])
    return list(chosen)


def outcomes(chosen: list[Case], folder: Path) -> Iterator[tuple[Case, dict[str, Any]]]:
    lines = "".join(f"{json.dumps(case.arguments)}\n" for case in chosen)
    call = [sys.executable, "-m", "tests.support.corpus.runner", str(folder)]
    with tempfile.TemporaryFile("w+") as given:
        given.write(lines)
        given.seek(0)
        with subprocess.Popen(call, stdin=given, stdout=subprocess.PIPE, text=True, cwd=ROOT) as runner:
            assert runner.stdout is not None
            for case, line in zip(chosen, runner.stdout, strict=True):
                yield case, json.loads(line)


def faults(outcome: dict[str, Any]) -> list[str]:
    """What was not as it should have been."""
    found = []
    lines = outcome["err"].splitlines()
    if outcome["code"] != 2:
        found.append(f"exit code {outcome['code']}")
    if len(lines) != 1 or len(lines[0]) > LONGEST_LINE or not lines[0].isprintable() or outcome["out"]:
        found.append(f"said {outcome['out'][-200:]!r} and {outcome['err'][-600:]!r}")
    elif not lines[0].startswith("depthport: "):
        found.append(f"said {lines[0]!r}")
    if left := [path for path in outcome["left"] if not any(their in Path(path, "x").parents for their in THEIRS)]:
        found.append(f"left {left[:5]}")
    if outcome["cpu_s"] > MOST_CPU_S or outcome["peak_mib"] > MOST_MIB:
        found.append(f"took {outcome['cpu_s']:.1f} s and {outcome['peak_mib']:.0f} MiB")
    return found


def look(chosen: list[Case], folder: Path) -> None:
    bad = [f"{case.id}: {'; '.join(found)}" for case, outcome in outcomes(chosen, folder) if (found := faults(outcome))]
    assert not bad, f"{len(bad)} of {len(chosen)}:\n" + "\n".join(bad[:30])


def test_bad_input_of_every_kind(tmp_path: Path) -> None:
    chosen = sample(cases(tmp_path / "files"), SAMPLE)
    assert len(chosen) >= SAMPLE
    look(chosen, tmp_path / "runs")


@pytest.mark.slow
def test_all_bad_input(tmp_path: Path) -> None:
    look(cases(tmp_path / "files"), tmp_path / "runs")


def test_bad_input_to_an_interpreter_of_its_own(tmp_path: Path) -> None:
    every = [case for case in cases(tmp_path / "files") if not case.arguments[0].startswith("doctor")]
    for case in random.Random(1).sample(every, IN_FULL):
        work = tmp_path / "work"
        work.mkdir()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "depthport", *case.arguments],
            capture_output=True, text=True, cwd=work, env=environment, timeout=300,
        )  # fmt: skip
        outcome = {"code": done.returncode, "out": done.stdout, "err": done.stderr, "cpu_s": 0.0, "peak_mib": 0.0}
        assert not faults(outcome | {"left": [path.name for path in work.iterdir()]}), case.id
        work.rmdir()
