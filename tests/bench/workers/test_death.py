"""Why a process ended: what is known is said, what is not is not guessed; a worker ends with its manager."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from depthport.bench.workers.death import death, oom_kills
from depthport.bench.workers.lifeline import MANAGER
from depthport.bench.workers.passing import OUT_OF_MEMORY
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("code", "before", "now", "words", "short_of"),
    [
        (3, 0, 0, "exit code 3", None),
        (-11, 0, 5, "SIGSEGV", None),
        (-9, 4, 4, "SIGKILL, but not by the kernel for lack of memory", None),
        (-9, 4, 5, "the kernel was killing processes for lack of memory", OUT_OF_MEMORY),
        (-9, None, None, "by a user, or by the system for lack of memory", None),
        (-40, 0, 0, "signal 40", None),
    ],
)
def test_what_is_known_is_said(code: int, before: int | None, now: int | None, words: str, short_of: str | None) -> None:
    reason, kind = death(code, before, now)
    assert words in reason and kind == short_of


def test_the_kernels_count(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "vmstat").write_text("nr_free_pages 7\noom_kill 12\n")
    assert oom_kills(tmp_path) == 12


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux")
@pytest.mark.parametrize("module", ["worker", "export_worker"])
def test_a_worker_whose_manager_is_gone_before_it_began_ends_at_once(module: str) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    environment = {**os.environ, MANAGER: str(gone.pid), "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    worker = subprocess.Popen(
        [sys.executable, "-m", f"depthport.bench.workers.{module}"], stdin=subprocess.PIPE, env=environment
    )
    # Its stdin stays open: only the lifeline ends it.
    assert worker.wait(30) == 1
    assert time.monotonic() - began < 20
