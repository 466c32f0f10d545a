"""Requests and replies between the manager and a worker (bench/workers/messages.py).

Each is one JSON object per line, over the worker's stdin and stdout.

The worker moves its real stdout aside at start and points file descriptor 1 at stderr, so nothing a framework prints
can land in the protocol. The manager blocks on the pipe (never polls: a polling parent steals a core from what it
measures) and gives up at a deadline.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO

import msgspec

from depthport.bench.workers.death import death, oom_kills
from depthport.bench.workers.lifeline import MANAGER, die_with_manager
from depthport.bench.workers.messages import Answer, Failure, R, Request
from depthport.bench.workers.passing import passing_fault, passing_text
from depthport.exporters.core.text import without_paths


class WorkerFault(Exception):
    """A request got no reply."""


class WorkerGone(WorkerFault):
    """The worker's process ended before it answered, or could not be started; `reason` says how."""

    def __init__(self, reason: str, passing: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing
        """Resource that the machine was short of (:mod:`depthport.bench.workers.passing`), if that was it."""


class WorkerTimeout(WorkerFault):
    """The worker did not answer in time and was killed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer in {seconds:.0f} s")
        self.seconds = seconds


class RequestFailed(WorkerFault):
    """The worker answered that it could not do what it was asked to."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Channel:
    """The manager's end: a child process and its two pipes.

    Raises:
        WorkerGone: the process could not be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._kills_before = oom_kills()
        try:
            self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**(os.environ if environment is None else environment), MANAGER: str(os.getpid())},
                # Its own group: Ctrl-C reaches the manager alone, which then ends its workers in order.
                start_new_session=True,
            )
        except OSError as error:
            reason = f"its process could not be started: {error.strerror or error}"
            raise WorkerGone(reason, passing_fault(error)) from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin = self._process.stdin
        self._stdout = self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._buffer = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process.poll() is None

    def request(self, message: Request[R], timeout_s: float, on_progress: Callable[[str], None] = lambda _: None) -> R:
        """Send `message` and wait for its reply; how far the worker is goes to `on_progress` on the way.

        Raises:
            RequestFailed: the worker could not do it, and lives on.
            WorkerGone: the process died.
            WorkerTimeout: no reply within `timeout_s`; the process has been killed.
            ValueError: what it answered is not what the message asks for.
        """
        line = msgspec.json.encode(message) + b"\n"
        try:
            self._stdin.write(line)
            self._stdin.flush()
        except OSError:
            raise self._death() from None
        deadline = time.monotonic() + timeout_s
        while True:
            line = self._read_line(deadline, timeout_s)
            answer: Answer[R] = msgspec.json.decode(line, type=Answer[message.reply])  # type: ignore[name-defined]
            if answer.failure is not None:
                raise RequestFailed(answer.failure)
            if answer.reply is not None:
                return answer.reply
            on_progress(answer.progress or "")

    def _read_line(self, deadline: float, timeout_s: float) -> bytes:
        while b"\n" not in self._buffer:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not self._selector.select(remaining):
                self.kill()
                raise WorkerTimeout(timeout_s)
            chunk = os.read(self._stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._death()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def stderr_tail(self, limit: int = 2000) -> str:
        """The end of what the worker printed."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - limit))
        return self._log.read().decode("utf-8", "replace").strip()

    def close(self, timeout_s: float = 20.0) -> None:
        """End the worker: closing its stdin asks it to, a signal insists."""
        with suppress(OSError):
            self._stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self.kill()

    def end(self) -> None:
        """Send the worker and everything it started the signal that kills them: whoever waits for it finds it gone."""
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()

    def kill(self) -> None:
        """Kill the worker and everything it started."""
        self.end()
        self._process.wait()
        self._selector.close()
        for stream in (self._stdin, self._stdout):
            with suppress(OSError):
                stream.close()

    def _death(self) -> WorkerGone:
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            return WorkerGone("the process closed its pipe without an answer")
        reason, passing = death(code, self._kills_before, oom_kills())
        last = self.stderr_tail().splitlines()
        if last and (said := last[-1].strip()):
            reason, passing = without_paths(f"{reason} ({said[:200]})"), passing or passing_text(said)
        return WorkerGone(reason, passing)


class WorkerEnd:
    """The worker's end of the channel."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        die_with_manager()

    def lines(self) -> Iterator[bytes]:
        """Requests, until the manager closes the pipe."""
        return iter(sys.stdin.buffer)

    def send(self, answer: Answer[object]) -> None:
        self._out.write(msgspec.json.encode(answer) + b"\n")
        self._out.flush()

    def progress(self, step: str) -> None:
        """Say how far the present request is."""
        self.send(Answer(progress=step))
