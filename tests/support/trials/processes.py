"""Processes as Linux shows them: ended, marked, waited for."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def wait(pid: int, longest_s: float) -> int:
    """The exit code of a child, as `subprocess` gives it."""
    deadline = time.monotonic() + longest_s
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -999
        time.sleep(0.01)


def ended(pid: int) -> bool:
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] in ([], ["Z"])


def marked(variable: str, mark: str) -> list[int]:
    """Living processes that have `variable=mark` in their environment, whoever started them."""
    wanted = f"{variable}={mark}"
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if wanted in read(f"/proc/{pid}/environ") and not ended(pid)]


def read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
