"""Artifacts for a run: made in separate processes, and their records in the journal."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Literal, TypeVar

from msgspec import structs

from depthport.bench.measure.observer import Observer
from depthport.bench.plan.cells import CellSpec
from depthport.bench.results.model import Status
from depthport.bench.results.records import ArtifactReady
from depthport.bench.results.sections import ArtifactSection
from depthport.bench.workers.channel import Channel, RequestFailed, WorkerGone, WorkerTimeout
from depthport.bench.workers.messages import Failure, R, Rebuild, Request
from depthport.bench.workers.start import worker_command, worker_environment
from depthport.exporters.core.artifact import Artifact, Origin, load_artifact
from depthport.exporters.core.errors import DepthportError
from depthport.exporters.core.text import without_paths
from depthport.runtimes.registry import get_runtime

T = TypeVar("T")
A = TypeVar("A")


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


class Stop:
    """Ends processes whose answers other threads wait for."""

    def __init__(self) -> None:
        self._channels: list[Channel] = []
        self._over = False

    def add(self, channel: Channel) -> None:
        """Take on another; it ends at once where all have been ended."""
        self._channels.append(channel)
        if self._over:
            channel.end()

    def remove(self, channel: Channel) -> None:
        """Forget one that has answered: its process is gone, and another may have its number."""
        self._channels.remove(channel)

    def end(self) -> None:
        """End them all, and what is added later: who waits for one finds that it is gone."""
        self._over = True
        for channel in list(self._channels):  # another thread may take one away
            channel.end()


def side_by_side(
    tasks: Sequence[T], ask: Callable[[T, Stop], A], done: Callable[[T, A], None], room: Callable[[], bool], most: int = 2
) -> None:
    """Ask for every task in its order, in up to `most` threads while there is `room`; `done` runs in this thread.

    An exporter is one Python thread for most of its time, so two of them use two CPUs.
    """
    waiting, stop = deque(tasks), Stop()
    running: dict[Future[A], T] = {}
    with ThreadPoolExecutor(most) as pool:
        try:
            while waiting or running:
                while waiting and (not running or (len(running) < most and room())):
                    task = waiting.popleft()
                    running[pool.submit(ask, task, stop)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done(running.pop(future), future.result())
        except BaseException:
            stop.end()  # stopped: the end of a run does not wait for an export
            raise


def ask_exporter(request: Request[R], timeout_s: float, observer: Observer, stop: Stop | None = None) -> R | Failure:
    """One request in a fresh process; a crash or time-out is a failure like any other."""
    return _ask(request, timeout_s, observer, "depthport.bench.workers.export_worker", stop=stop)


def _ask(
    request: Request[R],
    timeout_s: float,
    observer: Observer,
    module: str,
    python: str | None = None,
    stop: Stop | None = None,
) -> R | Failure:
    try:
        channel = Channel(worker_command(python, module), worker_environment())
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
