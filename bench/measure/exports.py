"""Artifacts for a run: made in separate processes, and their records in the journal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import structs

from depthport.bench.environment.environment import free_memory_mib
from depthport.bench.measure.lanes import Stop, Task, side_by_side
from depthport.bench.measure.limit import EXPORTS_SHARE, ONE_EXPORTS_SHARE, Limit
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.plan.cells import CellSpec
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Status
from depthport.bench.results.records import ArtifactReady
from depthport.bench.results.sections import ArtifactSection
from depthport.bench.workers.channel import Channel, RequestFailed, WorkerGone, WorkerTimeout
from depthport.bench.workers.exporting import Export, Exported
from depthport.bench.workers.messages import Failure, R, Rebuild, Request
from depthport.bench.workers.start import ASLEEP, worker_command, worker_environment
from depthport.exporters.api import find, takes_minutes
from depthport.exporters.core.artifact import Artifact, Origin, load_artifact
from depthport.exporters.core.errors import DepthportError
from depthport.exporters.core.provenance import canonical_sha256
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.core.text import without_paths
from depthport.runtimes.host.threads import allowed_threads
from depthport.runtimes.registry import get_runtime

ROOM = 4
"""Free memory, in peaks of the largest export so far, from which other processes may be beside one: formats differ by
three times."""


class Exports:
    """The artifacts of a run: made or found, and the journal's records of them.

    Args:
        fail: told of a cell that gets none, and why.
    """

    def __init__(
        self,
        plan: RunPlan,
        store: ArtifactStore,
        journal: Journal,
        observer: Observer,
        fail: Callable[[CellSpec, Failure], None],
    ) -> None:
        self.artifacts: dict[str, Path] = {}
        """Folders by cell id: known to this process alone, the journal has no path."""
        self._protocol = plan.protocol
        self._store = store
        self._journal = journal
        self._observer = observer
        self._fail = fail
        self._limit = Limit(plan.protocol.limit_s, EXPORTS_SHARE)
        self._peak_mib = 0.0

    def sort(self, cells: Iterable[CellSpec]) -> tuple[list[list[CellSpec]], list[list[CellSpec]]]:
        """Cells by export: those that are here or take seconds, and those that take minutes, the longest first.

        Cells whose artifact is given have it then, and are in neither.
        """
        groups: dict[str, list[CellSpec]] = {}
        for cell in cells:
            if cell.artifact is not None:
                self._take(cell, load_artifact(Path(cell.artifact)), "given")
            else:
                groups.setdefault(canonical_sha256(msgspec.to_builtins(cell.export)), []).append(cell)
        minutes = [key for key, (cell, *_) in groups.items() if self._takes_minutes(cell)]
        late = sorted((groups.pop(key) for key in minutes), key=lambda group: not group[0].export.policy.calibrated)
        return sorted(groups.values(), key=lambda group: not group[0].baseline), late

    def make(self, groups: Sequence[Sequence[CellSpec]], beside: Sequence[Task[Any]] = ()) -> None:
        """Make or find the artifact of each group, and do what else there is beside them, at most two at a time."""
        if groups:
            self._observer.stage("exporting", len(groups))
        side_by_side([*map(self._task, groups), *beside], lambda: allowed_threads() > 1 and self.room())

    def room(self) -> bool:
        """Return whether other processes may stay in memory beside an export."""
        return bool(self._peak_mib and free_memory_mib() > ROOM * self._peak_mib)

    def note_ready(self, cells: Iterable[CellSpec]) -> None:
        """Note artifacts that were exported here but can't run here, for the report (Core ML's checks)."""
        for cell in cells:
            if cell.unavailable and (found := self._found(cell)) is not None:
                self._record(artifact_ready(cell.id, found, "cached"))

    def _found(self, cell: CellSpec) -> Artifact | None:
        try:
            return find(cell.export, self._store)
        except DepthportError:
            return None

    def _takes_minutes(self, cell: CellSpec) -> bool:
        try:
            return takes_minutes(cell.export) and find(cell.export, self._store) is None
        except DepthportError:  # what is wrong is said where it is exported
            return False

    def _task(self, cells: Sequence[CellSpec]) -> Task[Exported | Failure]:
        request = cells[0].export
        name = f"{request.model.name} to {request.format}, {request.precision}"

        def ask(stop: Stop, sharing: int) -> Exported | Failure:
            if self._limit.over():
                return Failure(Status.NOT_MEASURED, Limit.REASON)
            left_s = self._limit.within(self._protocol.export_timeout_s, ONE_EXPORTS_SHARE)
            self._observer.step(name)
            return ask_exporter(Export(request=request, store=str(self._store.root)), left_s, self._observer, stop, sharing)

        def done(reply: Exported | Failure) -> None:
            self._observer.step(name, 1)
            if isinstance(reply, Failure):
                for cell in cells:
                    self._fail(cell, reply)
                return
            if reply.damage:
                self._observer.warning(f"rebuilt a damaged artifact ({reply.damage})")
            made = load_artifact(Path(reply.artifact))
            self._peak_mib = max(self._peak_mib, made.manifest.export_peak_mib or 0.0)
            for cell in cells:
                self._take(cell, made, reply.origin)

        return Task(ask, done)

    def _take(self, cell: CellSpec, made: Artifact, origin: Origin | Literal["given"]) -> None:
        """Give a cell its artifact; the worker that loads it finds out if it is damaged."""
        fit = for_this_machine(cell, made, self._protocol.export_timeout_s, self._observer)
        if isinstance(fit, Failure):
            self._fail(cell, fit)
            return
        self.artifacts[cell.id] = fit.path
        self._record(artifact_ready(cell.id, fit, origin))

    def _record(self, ready: ArtifactReady) -> None:
        if ready.cell not in {e.cell for e in self._journal.of(ArtifactReady)}:
            self._journal.append(ready)


def artifact_ready(cell: str, artifact: Artifact, origin: Origin | Literal["given"]) -> ArtifactReady:
    """A cell's artifact as the journal keeps it: what results say of it, and no path: a journal may be sent to others."""
    made = artifact.manifest
    options = {name: without_paths(value) if isinstance(value, str) else value for name, value in made.options.items()}
    facts: ArtifactSection = {
        "key": made.key,
        "size_bytes": made.size_bytes,
        "versions": made.versions,
        "target": made.target,
        "options": options,
        "dynamic": list(made.dynamic),
        "inputs": [spec.name for spec in made.inputs],
        "preprocessing": made.preprocessing,
        "export_peak_mib": made.export_peak_mib,
    }
    if isinstance(predicted := made.extra.get("neural_engine"), dict):
        facts["neural_engine"] = predicted
    return ArtifactReady(cell=cell, origin=origin, export_s=made.export_s, facts=facts)


def for_this_machine(cell: CellSpec, artifact: Artifact, timeout_s: float, observer: Observer) -> Artifact | Failure:
    """The artifact, or one rebuilt from it where it is bound to other hardware or versions than the cell's."""
    try:
        if not get_runtime(cell.runtime).bound:
            return artifact
    except DepthportError:  # it is not here, which the cell's own row will say
        return artifact
    request = Rebuild(artifact=str(artifact.path), runtime=cell.runtime, device=cell.device)
    reply = _ask(request, timeout_s, observer, "depthport.bench.workers.worker", cell.python)
    if isinstance(reply, Failure):
        return reply
    if reply.reason:
        observer.note(f"{cell.id}: rebuilt, because {reply.reason}")
    return load_artifact(Path(reply.artifact))


def ask_exporter(
    request: Request[R], timeout_s: float, observer: Observer, stop: Stop | None = None, sharing: int = 1
) -> R | Failure:
    """One request in a fresh process; a crash or time-out is a failure like any other.

    Args:
        sharing: number of such processes that share the machine's CPUs. Threads of one that wait for each other wait for
            those of the other too: a search on photographs took 132 s beside another export with two threads on two
            CPUs, and 38 s with one.
    """
    chosen = "OMP_NUM_THREADS" in os.environ  # by the user
    threads = {} if chosen or sharing == 1 else {"OMP_NUM_THREADS": str(max(1, allowed_threads() // sharing))}
    return _ask(request, timeout_s, observer, "depthport.bench.workers.export_worker", stop=stop, environment=threads)


def _ask(
    request: Request[R],
    timeout_s: float,
    observer: Observer,
    module: str,
    python: str | None = None,
    stop: Stop | None = None,
    environment: Mapping[str, str] | None = None,
) -> R | Failure:
    try:
        channel = Channel(worker_command(python, module), worker_environment({**ASLEEP, **(environment or {})}))
    except WorkerGone as error:
        return Failure(Status.EXPORT_FAILED, error.reason, error.passing)
    if stop is not None:
        stop.add(channel)
    answer: R | Failure
    try:
        answer = channel.request(request, timeout_s, observer.step)
    except RequestFailed as error:
        answer = error.failure
    except WorkerTimeout as error:
        answer = Failure(Status.TIMED_OUT, f"it took over {error.seconds:.0f} s")
    except WorkerGone as error:
        answer = Failure(Status.EXPORT_FAILED, error.reason, error.passing)
    except BaseException:
        channel.kill()  # stopped: the end of a run does not wait for an export
        raise
    finally:
        if stop is not None:
            stop.remove(channel)
    channel.close(timeout_s=5)
    return structs.replace(answer, log=channel.stderr_tail()) if isinstance(answer, Failure) else answer
