"""Ties a worker's life to its manager's, before anything slow is imported.

Imports nothing of ours and nothing heavy: until this has run, a killed manager leaves a worker behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

MANAGER = "DEPTHPORT_MANAGER_PID"
"""Environment variable that names the process to end with."""
_PR_SET_PDEATHSIG = 1


def die_with_manager() -> None:
    """End this process when the manager is killed, or at once if it is gone already.

    On Linux the kernel does it, even in the middle of a long call.

    Elsewhere the worker notices at the end of its call, when its stdin is at an end.
    """
    manager = int(os.environ.pop(MANAGER, "0"))
    if not sys.platform.startswith("linux"):
        return

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # Asked for after the kernel was: a manager that died in between sends no signal.
    if manager and not _lives(manager):
        os._exit(1)


def stop_with_stdin() -> None:
    """End this process as SIGTERM does once its starter is gone, so that finished work is kept.

    The starter's end of our standard input is closed then, on every system.
    """

    def watch() -> None:
        # Not by `sys.stdin`, whose lock this thread would hold while Python ends.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="stdin", daemon=True).start()


def _lives(manager: int) -> bool:
    """Return whether the manager runs; it need not be the parent: a script may start the interpreter."""
    if os.getppid() == manager:
        return True
    try:
        with open(f"/proc/{manager}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123 - as little as can be
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False
