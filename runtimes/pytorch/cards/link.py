"""The session's end of its cards: a process each, asked all at once, and ended all at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from depthport.exporters.core import errors
from depthport.exporters.core.errors import DepthportError, RunError

MODULE = "depthport.runtimes.pytorch.cards.process"
_ENDING_S = 10.0


class CardProcesses:
    """One process a card. Whatever goes wrong with one of them ends all: the others would wait for it for ever."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` of the cards, for messages."""
        self._names = tuple(names)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[Connection] = []
        for _ in names:
            self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # What a library prints must not land in the output of the program that uses us.
                stdout=2,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._processes.append(process)
        self._connections.append(Connection(ours.detach()))

    def tell(self, operation: str, each: Sequence[Mapping[str, object]] | None = None) -> None:
        """Send every card an operation, with arguments of its own where `each` has them; waits for nothing.

        Raises:
            RunError: a process has ended.
        """
        for index, connection in enumerate(self._connections):
            try:
                connection.send((operation, dict(each[index]) if each else {}))
            except OSError:
                self._fail(index)
        if not self._connections:
            raise RunError("the processes of the GPUs have ended: load the artifact again")

    def ask(self, operation: str, each: Sequence[Mapping[str, Any]] | None = None) -> list[Any]:
        """:meth:`tell`, and the answers in the order of the cards.

        Raises:
            RunError: a process has ended; the message says which card's and how.
            DepthportError: of the class that a card raised, its message with the card's name.
        """
        self.tell(operation, each)
        answers: dict[int, object] = {}
        while len(answers) < len(self._connections):
            waiting = {c: i for i, c in enumerate(self._connections) if i not in answers}
            for connection in wait(list(waiting)):
                index = waiting[connection]  # type: ignore[index]
                try:
                    kind, value = self._connections[index].recv()
                except (EOFError, OSError):
                    self._fail(index)
                if kind is not None:
                    self.end()
                    raise _error(kind, f"{self._names[index]}: {value}")
                answers[index] = value
        return [answers[index] for index in range(len(answers))]

    def end(self) -> None:
        """End all processes, at once."""
        processes, self._processes = self._processes, []
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        for process in processes:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Let the processes free what they hold, and end those that don't."""
        for connection in self._connections:
            with suppress(OSError):
                connection.send(("close", {}))
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_S)
        self.end()

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._processes)

    def _fail(self, index: int) -> None:
        process, name = self._processes[index], self._names[index]
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_S)
        code = process.poll()
        self.end()
        raise RunError(f"{name}: its process {_how(code)}, and with it the scene that it shared")


def _how(code: int | None) -> str:
    if code is None:
        return "closed its connection"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _error(kind: str, message: str) -> DepthportError:
    found = getattr(errors, kind, RunError)
    error: DepthportError = found(message)
    return error
