"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import ctypes
import signal
import sys


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is killed, also in the middle of a long call (Linux).

    Elsewhere a process that serves another notices at the end of its call, when its pipe is at an end.
    """
    if not sys.platform.startswith("linux"):
        return

    pr_set_pdeathsig = 1
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
