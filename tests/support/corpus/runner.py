"""Runs command lines, each in a copy of one process that has imported what commands begin with: hundreds in a minute.

    python -m tests.support.corpus.runner FOLDER < cases > outcomes

A line of `cases` is the JSON list of a command's arguments, one of `outcomes` an :class:`Outcome` as JSON. Each runs in an
empty folder of its own below FOLDER, with a home of its own, and under limits.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from traceback import print_exc

LONGEST_S = 120
"""By the clock, on however busy a machine."""
LONGEST_CPU_S = 20
MOST_BYTES = 16 << 30
"""Of addresses, which PyTorch and NumPy ask for by the gigabyte; what is used is counted apart."""

SHARED = (
    "numpy", "PIL.Image", "depthport.bench.cli.app", "depthport.bench.cli.console", "depthport.bench.measure.api",
    "depthport.bench.report.write", "depthport.bench.choice.choose", "depthport.bench.choice.compare",
    "depthport.bench.choice.reproduce", "depthport.exporters.api", "depthport.predict.model",
)  # fmt: skip
"""What commands import before they look at what they were given, or soon after; no framework."""


@dataclass(frozen=True)
class Outcome:
    """What came of one command line."""

    code: int
    """The exit code; a signal's number below 0."""
    out: str
    err: str
    cpu_s: float
    wall_s: float
    peak_mib: float
    left: tuple[str, ...]
    """Files and folders that were not there before, in the folder and the home."""


def run(arguments: list[str], folder: Path) -> Outcome:
    """One command line in a copy of this process."""
    places = [folder / name for name in ("work", "home", "temporary")]
    for place in places:
        place.mkdir(parents=True)
    streams = [folder / "out", folder / "err"]
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(arguments, places, streams)
    status, usage = _wait(pid, began)
    code = os.waitstatus_to_exitcode(status)
    left = tuple(sorted(str(path.relative_to(folder)) for place in places for path in place.rglob("*")))
    out, err = (stream.read_text(encoding="utf-8", errors="replace") for stream in streams)
    peak = usage.ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))
    return Outcome(code, out, err, usage.ru_utime + usage.ru_stime, time.monotonic() - began, peak, left)


def _wait(pid: int, began: float) -> tuple[int, resource.struct_rusage]:
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage
        if time.monotonic() - began > LONGEST_S:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        time.sleep(0.002)


def _child(arguments: list[str], places: list[Path], streams: list[Path]) -> None:
    code = 70
    try:
        os.setsid()
        for number, stream in enumerate(streams, 1):
            os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        work, home, temporary = places
        os.chdir(work)
        os.environ.update(HOME=str(home), TMPDIR=str(temporary), HF_HUB_OFFLINE="1")
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_CPU_S, LONGEST_CPU_S))
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        sys.argv = ["depthport", *arguments]
        from depthport.bench.cli.app import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself would end
        print_exc()
        code = 1
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def main() -> None:
    for module in SHARED:
        import_module(module)
    folder = Path(sys.argv[1])
    for index, line in enumerate(sys.stdin):
        print(json.dumps(asdict(run(json.loads(line), folder / str(index)))), flush=True)


if __name__ == "__main__":
    main()
