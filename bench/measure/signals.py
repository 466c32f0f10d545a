"""Signals that end a program, as Ctrl-C does: what was done is kept, one line, the shell's exit code."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Stopped(KeyboardInterrupt):
    """SIGTERM (a service manager, `kill`) or SIGHUP (the terminal was closed)."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def exit_code_of(stop: KeyboardInterrupt) -> int:
    """Return a shell's exit code for a program that the signal ended: 128 plus its number; 130 for Ctrl-C."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


def stop_on_signals() -> None:
    """Have SIGTERM and SIGHUP raise :class:`Stopped` in the main thread, once; later ones do not disturb the end.

    A signal that the user has had ignored (`nohup`) stays ignored. Only the main thread may ask for this.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)
