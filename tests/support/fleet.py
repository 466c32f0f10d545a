"""Machines of a fleet that are processes here, each with a cache folder, an environment and maybe a Python of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image

from depthport.bench.fleet.bundle import Bundle
from depthport.bench.fleet.description import read_fleet
from depthport.bench.fleet.freeze import freeze
from depthport.bench.fleet.rows import Rows
from tests.support.paths import ROOT

SITE = Path(__file__).with_name("fleet_site")
BENCH = """
[[bench]]
shapes = ["1x28x42"]
weights = "synthetic:0"
images = ["photo.png"]
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def describe(folder: Path, machines: Sequence[str], *, extra: str = "", bench: str = BENCH, **tables: str) -> Path:
    """A FLEET.toml of machines at 127.0.0.1, each table with what `tables` has for it."""
    Image.new("RGB", (84, 56), (90, 120, 60)).save(folder / "photo.png")
    head = f'name = "test"\nscheduler = "tcp://127.0.0.1:{free_port()}"\n{extra}\n'
    head += "[conditions]\nmax_load = 1.0\nwait_s = 60.0\n"
    named = "".join(
        f'[machine.{name}]\naddress = "127.0.0.1"\nlabels = ["self-hosted", "{name}"]\n{tables.get(name, "")}\n'
        for name in machines
    )
    path = folder / "FLEET.toml"
    path.write_text(f"{head}{bench}\n{named}", encoding="utf-8")
    return path


def frozen(description: Path, out: Path) -> Bundle:
    return freeze(read_fleet(description), description.parent, out / "bundle")


class Host:
    """`depthport fleet join` in a process group of its own."""

    def __init__(
        self,
        description: Path,
        name: str,
        folder: Path,
        *,
        seconds: float | None = 1.0,
        python: str = sys.executable,
        prefix: Sequence[str] = (),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] = {},
    ) -> None:
        self.name = name
        self.cache = folder / f"cache-{name}"
        self.cache.mkdir(parents=True, exist_ok=True)
        fake = {} if seconds is None else {"DEPTHPORT_FAKE_S": str(seconds)}
        path = os.pathsep.join([str(SITE), str(ROOT)])
        own = {
            **os.environ,
            "DEPTHPORT_CACHE": str(self.cache),
            "PYTHONPATH": path,
            "COLUMNS": "300",
            **fake,
            **environment,
        }
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, python, "-m", "depthport", "fleet", "join", str(description), name, *arguments],
                env=own, stdout=log, stderr=log, start_new_session=True, cwd=folder,
            )  # fmt: skip

    def workers(self) -> list[int]:
        """Process ids of the Dask worker and of what it runs, by what their command lines name."""
        return [pid for pid in _group(self.process.pid) if pid != self.process.pid]

    def kill_worker(self) -> int:
        """SIGKILL for the Dask worker alone; its pid."""
        found = [pid for pid in self.workers() if "dask_worker" in _command(pid)]
        os.kill(found[0], signal.SIGKILL)
        return found[0]

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@contextmanager
def hosts(*started: Host) -> Iterator[None]:
    try:
        yield
    finally:
        for host in started:
            host.close()


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)


def steps_of(results: Path) -> list[tuple[int, float]]:
    """Process id and time of every step of a made-up measurement."""
    steps = json.loads(results.read_text())["inputs"]["notes"]
    return [(int(step.partition(":")[0]), float(step.partition(":")[2])) for step in steps]


def journals(host: Host) -> list[int]:
    """How many steps each of a machine's measurements has done."""
    found = (host.cache / "fleet" / "results").glob("*/*/*/journal.jsonl")
    return [len(path.read_text().splitlines()) for path in found]


class Background:
    """A fleet's run in a thread, and its rows while it goes on."""

    def __init__(self, run: Callable[[Callable[[Rows], None]], Rows]) -> None:
        self.rows: Rows | None = None
        self.seen: list[tuple[str, ...]] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._go, args=(run,), daemon=True)
        self._thread.start()

    def _go(self, run: Callable[[Callable[[Rows], None]], Rows]) -> None:
        try:
            self.rows = run(self._watch)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self.error = error

    def _watch(self, rows: Rows) -> None:
        self.rows = rows
        self.seen += [line for line in rows.table() if line not in self.seen]

    def state(self, machine: str) -> str:
        return self.rows.machines[machine].state() if self.rows is not None else ""

    def end(self, seconds: float = 120) -> Rows:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the fleet did not end in time"
        if self.error is not None:
            raise self.error
        assert self.rows is not None
        return self.rows


def _group(leader: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError, ValueError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == leader:
                    found.append(int(folder.name))
    return found


def _command(pid: int) -> str:
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
