"""The child of :mod:`depthport.exporters.core.isolation`: one job in, reports and an answer out."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypedDict

from depthport.exporters.core.errors import DepthportError, one_line
from depthport.exporters.core.json_types import Json
from depthport.exporters.core.provenance import peak_rss_mib

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
"""`CLONE_NEWUSER`, `CLONE_NEWNET` (linux/sched.h)."""
_NETWORK_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")
_PROGRAM_EVENTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "pty.spawn")
"""Python's audit events (docs.python.org/3/library/audit_events.html)."""


class Job(TypedDict):
    """Job of the child."""

    function: str
    """`module:name`."""
    arguments: dict[str, object]
    """By keyword, JSON types."""
    programs: list[str]
    """That it may start."""


class Answer(TypedDict, total=False):
    """A line from the child: a step that begins, or how it ended."""

    step: str
    error: str
    value: Json
    isolation: dict[str, object]
    peak_mib: float | None


def main() -> None:
    """Read the job, restrict this process, do it, answer."""
    job: Job = json.loads(sys.stdin.buffer.readline())
    # Converters print; what they print belongs to the log, not between our messages.
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # Before any thread: a user namespace is for processes of one.
    alone = leave_network()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _send(channel, _work(job, channel, alone))


def _work(job: Job, channel: BinaryIO, alone: bool) -> Answer:
    network = "none (namespace)" if alone else "refused in Python"
    refuse(job["programs"])
    try:
        module, _, name = job["function"].partition(":")
        function = getattr(importlib.import_module(module), name)
        # A converter makes and drops millions of small objects; what is there by now is not worth looking through.
        gc.freeze()
        value = function(**job["arguments"], progress=lambda step: _send(channel, {"step": step}))
    except DepthportError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - anyone's converter may fail in any way; the parent makes it an ExportError
        traceback.print_exc()
        return {"error": f"{job['function'].rpartition('.')[2]} failed ({type(error).__name__}): {one_line(error)}"}
    return {"value": value, "isolation": {"network": network, "programs": job["programs"]}, "peak_mib": peak_rss_mib()}


def leave_network() -> bool:
    """Move this process into a network namespace with nothing in it; False where the system has or allows none."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return False
    # Without the right to a network namespace, a process may have one inside a user namespace of its own.
    left = libc.unshare(_NEW_NETWORK) == 0 or libc.unshare(_NEW_USER | _NEW_NETWORK) == 0
    with suppress(OSError):
        return left and all(name == "lo" for _, name in socket.if_nameindex())
    return False


def refuse(programs: Collection[str]) -> None:
    """Make connecting, resolving names and starting programs other than `programs` a PermissionError from now on."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in _NETWORK_EVENTS:
            raise PermissionError(f"a converter may not use the network ({event})")
        if event in _PROGRAM_EVENTS:
            program = Path(str(_program(arguments))).name
            if program.removesuffix(".exe") not in programs:
                raise PermissionError(f"a converter may not start programs ({program})")

    sys.addaudithook(hook)


def _program(arguments: tuple[object, ...]) -> object:
    """Return the started program: `subprocess.Popen` gives the executable and, where that is None, the arguments."""
    named = arguments[0] if arguments and arguments[0] is not None else arguments[1]
    return named[0] if isinstance(named, list | tuple) else named


def _send(channel: BinaryIO, message: Answer) -> None:
    channel.write(json.dumps(message).encode() + b"\n")


def _die_with_parent() -> None:
    """Standard input ends when the parent does."""
    with suppress(OSError):
        sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
