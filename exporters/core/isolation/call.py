"""Running a converter in a process of its own: on copies, without network, without an installer to call.

Converters are large, young and helpful: one of them rewrites its input file, another installs packages while it runs
(runtimes/PHONES.md). So a converter is called in a child process (:mod:`depthport.exporters.core.isolation.child`) that

* works in a folder that holds nothing but copies,
* has no network: a network namespace of its own where the system allows one (Linux), and everywhere a Python audit hook
  that refuses to connect or to resolve names, and proxies that lead nowhere,
* starts no program but those it is granted, finds none on its `PATH`, and is told to be offline.

What a crash, a signal or a full memory does to it is an :class:`ExportError` here. When this process dies, so does the
child.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from depthport.exporters.core.errors import ExportError
from depthport.exporters.core.isolation.child import Answer, Job
from depthport.exporters.core.json_types import Json

OFFLINE = {
    **dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"
    ),
    **dict.fromkeys(("PIP_NO_INDEX", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"), "1"),
}
"""Variables that tell well-behaved libraries to stay offline; port 9 is `discard`."""


@dataclass(frozen=True)
class Isolated:
    """Result of a call in a separate process."""

    value: Json
    """Return value of the function (JSON types)."""
    isolation: dict[str, object]
    """Degree of isolation, for the manifest."""
    peak_mib: float | None
    """Peak resident memory of the process; None where the system does not say."""


def call_isolated(
    function: Callable[..., object],
    arguments: Mapping[str, object],
    folder: Path,
    progress: Callable[[str], None] = lambda _: None,
    programs: Sequence[str] = (),
) -> Isolated:
    """Call a module's function with keyword arguments (JSON types) in a process of its own.

    Args:
        function: takes `progress`, a function of one text, besides `arguments`; returns JSON types. It is imported there
            by its name; nothing of this process comes along.
        folder: its working directory, with copies of whatever it needs.
        progress: called with what the function reports.
        programs: names of programs that it may start.

    Raises:
        ExportError: it failed, died or could not be started; the message holds its last words.
    """
    job: Job = {
        "function": f"{function.__module__}:{function.__name__}",
        "arguments": dict(arguments),
        "programs": list(programs),
    }
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory(prefix="depthport-empty-") as nothing:
        environment = {**os.environ, **OFFLINE, "PATH": nothing, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        with subprocess.Popen(
            [sys.executable, "-m", "depthport.exporters.core.isolation.child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, cwd=folder, env=environment,
        ) as process:  # fmt: skip
            try:
                answer = _talk(process, job, progress)
            finally:
                process.kill()
        if answer is None:
            raise ExportError(f"{function.__name__} {_end(process.returncode)}; its last output: {_last_words(said)}")
    if "error" in answer:
        raise ExportError(answer["error"])
    return Isolated(answer["value"], answer["isolation"], answer["peak_mib"])


def _talk(process: subprocess.Popen[bytes], job: Job, progress: Callable[[str], None]) -> Answer | None:
    """Send the job, pass on what is reported, return the answer; None where the process ended without one."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        process.wait()
        return None
    for line in process.stdout:
        message: Answer = json.loads(line)
        if "step" not in message:
            return message
        progress(message["step"])
    process.wait()
    return None


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"ended with exit code {code} and no answer"


def _last_words(said: IO[bytes], limit: int = 200) -> str:
    """The last line of what it wrote to standard error."""
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][-limit:] if lines else "none"
