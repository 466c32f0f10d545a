"""`--version`, and what a shell is given when the tab key is pressed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depthport import __version__

PROGRAM = "import sys; sys.argv[0] = 'depthport'; from depthport.bench.cli.app import main; main()"


def depthport(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


def test_the_version_is_the_distributions() -> None:
    done = depthport("--version")
    assert (done.returncode, done.stdout) == (0, f"depthport {__version__}\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("depthport ex", {"export"}),
        ("depthport export da3-l", {"da3-large"}),
        ("depthport export da3-small --format on", {"onnx"}),
        ("depthport bench --runtime openv", {"openvino"}),
        ("depthport bench --suite q", {"quick"}),
    ],
)
def test_bash_is_told_commands_and_values(line: str, expected: set[str]) -> None:
    done = depthport(_DEPTHPORT_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
    assert {word.strip() for word in done.stdout.splitlines()} == expected, done.stderr


def test_installing_it_writes_the_shells_own_file(tmp_path: Path) -> None:
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("needs bash")
    program = f"'{sys.executable}' -c \"{PROGRAM}\" --install-completion; exit $?"
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([shell, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0 and "bash completion installed" in done.stdout, done.stderr
    assert (tmp_path / ".bashrc").is_file()
