"""One run of a fleet: each machine is driven by its own thread, so none waits for another.

What is finished comes here as soon as it is. A machine that is absent is waited for, and gets the job that it was at
again: the command resumes from its journal. One that stays away, is busy for too long or fails is a row with the reason.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthport.bench.fleet import remote
from depthport.bench.fleet.bundle import Bundle
from depthport.bench.fleet.cluster import Cluster, Lost, is_from, resource_of
from depthport.bench.fleet.conditions import NotNow
from depthport.bench.fleet.description import Fleet
from depthport.bench.fleet.progress import read_line
from depthport.bench.fleet.rows import JobRow, Rows
from depthport.bench.fleet.transfer import fetch_job, send_bundle
from depthport.bench.fleet.work import finished
from depthport.exporters.core.errors import DepthportError, StorageError, one_line
from depthport.exporters.core.files.atomic import storage_errors

if TYPE_CHECKING:
    from distributed import Future

LOOK_S = 0.5
SILENT_S = 20.0
"""Silence of a worker before its row shows it; its heartbeat comes twice a second."""
STOP_S = 30.0
"""Time for machines to save their measurements after Ctrl-C."""
SSH_AGAIN_S = 15.0
MOST_WORKERS = 20
"""Most workers that one job may lose: a job that takes its machine down is not retried for ever."""


@dataclass
class _Task:
    """A job's task in Dask."""

    future: Future[str] | None = None
    worker: str | None = None
    """Address of the worker that it is for."""
    workers: int = 0

    def drop(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.cancel(force=True)
        self.future = None


class FleetRun:
    """A run; `rows` is what is known of it at any time."""

    def __init__(self, fleet: Fleet, bundle: Bundle, folder: Path, out: Path, cluster: Cluster, patience_s: float) -> None:
        self.fleet = fleet
        self.bundle = bundle
        self.folder = folder
        self.out = out
        self.cluster = cluster
        self.patience_s = patience_s
        self.rows = Rows.of(bundle)
        self._topic = f"depthport-{uuid.uuid4().hex}"
        self._stopping = threading.Event()
        self._measure = True
        self._lost: Lost | None = None
        self._fault: Exception | None = None

    def run(self, watch: Callable[[Rows], None], *, measure: bool = True) -> Rows:
        """Measure and export everything, wherever it can be; `watch` sees the rows about twice a second.

        Args:
            measure: False: bring what is finished, start nothing.

        Raises:
            Lost: the scheduler is gone.
            StorageError: `out` can't be written to.
            KeyboardInterrupt: stopped, after the machines wrote down what they had.
        """
        self._measure = measure
        self.cluster.client.subscribe_topic(self._topic, self._heard)
        threads = [
            threading.Thread(target=self._drive, args=(name,), name=f"fleet {name}", daemon=True)
            for name in self.fleet.machine
        ]
        for thread in threads:
            thread.start()
        try:
            self._watch(threads, watch)
        except KeyboardInterrupt:
            self._stop(threads)
            self._watch([], watch)
            raise
        if error := self._lost or self._fault:
            raise error
        return self.rows

    def _watch(self, threads: list[threading.Thread], watch: Callable[[Rows], None]) -> None:
        while True:
            alive = any(thread.is_alive() for thread in threads)
            self.rows.save(self.out)
            watch(self.rows)
            if not alive:
                return
            time.sleep(LOOK_S)

    def _stop(self, threads: list[threading.Thread]) -> None:
        self._stopping.set()
        for name, (address, _) in self.cluster.workers().items():
            if name in self.fleet.machine and is_from(self.fleet.machine[name], address):
                # Whoever can't be reached ends its work when it notices that it is alone.
                threading.Thread(target=self._ask_to_stop, args=(address,), daemon=True).start()
        until = time.monotonic() + STOP_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _ask_to_stop(self, address: str) -> None:
        with suppress(DepthportError, OSError):
            self.cluster.ask(address, remote.stop)

    async def _heard(self, event: tuple[float, Any]) -> None:
        """Take a machine's message, which came through Dask."""
        message = event[1]
        if not isinstance(message, dict):
            return
        row, told = self.rows.machines.get(str(message.get("machine"))), read_line(str(message.get("line")))
        if row is None or told is None or told.state in ("done", "failed"):
            return
        if (job := row.jobs.get(told.job)) is not None and not job.ended:
            job.now(told.state, told.text, told.share)

    # -- one machine ----------------------------------------------------------------------------------------------

    def _drive(self, name: str) -> None:
        row = self.rows.machines[name]
        try:
            for job, state in row.jobs.items():
                said = finished(self.out / name / job, self.bundle.ref(name, job))
                if said is None:
                    self._job(name, job, state)
                else:
                    state.now("done", said)
        except NotNow as error:  # absent for too long
            for state in row.jobs.values():
                if not state.ended:
                    state.now("left out", str(error))
        except Lost as error:
            self._lost = error
        except (DepthportError, OSError) as error:
            self._fail(name, one_line(error))
        except Exception as error:  # noqa: BLE001 - a bug: other machines go on, then it is raised
            self._fail(name, f"{type(error).__name__}: {one_line(error)}")
            self._fault = error
        row.reason = ""

    def _fail(self, name: str, reason: str) -> None:
        for state in self.rows.machines[name].jobs.values():
            if not state.ended:
                state.now("failed", reason)

    def _job(self, name: str, job: str, state: JobRow) -> None:
        """Have one job done and bring its results here."""
        task = _Task()
        try:
            for address in self._present(name):
                try:
                    if self._further(name, job, state, task, address):
                        return
                except StorageError:
                    raise
                except (OSError, TimeoutError) as error:  # the connection broke: once it is back, again
                    state.now(state.state, f"asked again: {one_line(error)}")
        finally:
            task.drop()

    def _further(self, name: str, job: str, state: JobRow, task: _Task, address: str) -> bool:
        """Take a job one step further while its machine is connected; return whether it has ended."""
        if address != task.worker:
            if task.workers == MOST_WORKERS:
                state.now("failed", f"its worker was lost {task.workers} times during this job: see the machine's logs")
                return True
            task.drop()  # Dask does not look again at what waits for a resource that a worker gains
            self._prepare(name, address)
            task.worker, task.workers = address, task.workers + 1
        if not self._measure:
            self._collect(name, job, address, state, {"last": "not finished there"})
            return True
        if task.future is None or task.future.status in ("cancelled", "lost"):
            order = {"bundle": self.bundle.sha256, "machine": name, "job": job, "topic": self._topic}
            key = f"{self._topic}-{name}-{job}-{uuid.uuid4().hex[:8]}"
            task.future = self.cluster.submit(remote.perform, json.dumps(order), name, key)
        if task.future.status == "error":
            state.now("failed", f"its worker failed: {one_line(task.future.exception(timeout=5))}")
            return True
        if task.future.status != "finished":
            return False
        answer = json.loads(task.future.result(timeout=10))
        state.now("collecting")
        self._collect(name, job, address, state, answer)
        return True

    def _prepare(self, name: str, address: str) -> None:
        with storage_errors(Path("its disk")):
            send_bundle(partial(self.cluster.ask, address), self.bundle, self.folder)
        self.cluster.ask(address, remote.offer, resource_of(name))

    def _collect(self, name: str, job: str, address: str, state: JobRow, answer: Mapping[str, object]) -> None:
        told = read_line(str(answer.get("told")))
        reason = (told.text if told is not None and told.state == "failed" else "") or str(answer.get("last") or "")
        fetched = fetch_job(partial(self.cluster.ask, address), self.bundle, name, job, self.out)
        done = finished(self.out / name / job, self.bundle.ref(name, job)) if fetched else None
        if done is not None:
            state.now("done", done)
        elif self._stopping.is_set():
            state.now("left out", "stopped: the same command resumes")
        elif answer.get("code") == NotNow.exit_code or not self._measure:
            state.now("left out", reason)
        else:
            state.now("failed", reason.removeprefix("depthport: ") or f"it ended with {answer.get('code')}")

    def _present(self, name: str) -> Iterator[str]:
        """Yield the address of a machine's worker repeatedly while it is connected; wait while it is not.

        Raises:
            NotNow: it was absent for too long.
            Lost: the scheduler is gone.
        """
        row, machine = self.rows.machines[name], self.fleet.machine[name]
        absent_since, asked_ssh = time.monotonic(), -SSH_AGAIN_S
        why, known = "no worker of this name yet: start it there with `depthport fleet join`", False
        while True:
            address, seen_s = self.cluster.workers().get(name, (None, 0.0))
            if address is not None and not is_from(machine, address):
                why, address = f"a worker of this name came from {address}, not from {machine.address}", None
            elif address is None and known:
                why = "gone: its worker left; the job resumes once it is back"
            if address is not None:
                known, absent_since = True, time.monotonic()
                row.reason = f"silent for {seen_s:.0f} s" if seen_s > SILENT_S else ""
                yield address
            else:
                row.reason = why
                if self._stopping.is_set() or time.monotonic() - absent_since > self.patience_s:
                    raise NotNow(why)
                if machine.ssh is not None and time.monotonic() - asked_ssh >= SSH_AGAIN_S:
                    try:
                        self.cluster.start_by_ssh(name, machine)
                    except DepthportError as error:
                        why = str(error)
                    asked_ssh = time.monotonic()
            time.sleep(LOOK_S)
