"""Reason a process ended, as far as it is known."""

from __future__ import annotations

import signal
from pathlib import Path

from depthport.bench.workers.passing import OUT_OF_MEMORY


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return the number of processes that the kernel has killed for lack of memory since boot; None if unknown."""
    try:
        lines = (root / "proc/vmstat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def death(code: int, kills_before: int | None, kills_now: int | None) -> tuple[str, str | None]:
    """(reason, what the machine was short of) of an exit code as `subprocess` gives it.

    Args:
        code: negative: the signal that ended it.
        kills_before, kills_now: :func:`oom_kills` when the process began and when it was found dead.
    """
    if code >= 0:
        return f"the process ended with exit code {code}", None
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name != "SIGKILL":
        return f"the process was killed by {name}", None
    if kills_before is None or kills_now is None:
        return "the process was killed by SIGKILL: by a user, or by the system for lack of memory", None
    if kills_now > kills_before:
        return "the process was killed by SIGKILL: the kernel was killing processes for lack of memory", OUT_OF_MEMORY
    return "the process was killed by SIGKILL, but not by the kernel for lack of memory", None
