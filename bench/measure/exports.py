"""Artifacts for a run: made in a process of their own, and what the journal says of them."""

from __future__ import annotations

from typing import Any

from depthport.bench.measure.observer import Observer
from depthport.bench.results.model import Status
from depthport.bench.workers.channel import Channel, WorkerGone, WorkerTimeout, worker_command, worker_environment
from depthport.exporters.core.artifact import Artifact


def artifact_entry(artifact: Artifact, origin: str) -> dict[str, Any]:
    """An artifact that this run did not make, as the journal keeps it."""
    manifest = artifact.manifest
    return {
        "artifact": str(artifact.path),
        "origin": origin,
        "export_s": manifest.export_s,
        "export_peak_mib": manifest.export_peak_mib,
        "key": manifest.key,
    }


def export_in_worker(request: dict[str, Any], timeout_s: float, observer: Observer) -> dict[str, Any]:
    """One request in a fresh process; a crash or time-out comes back as an error reply."""
    try:
        channel = Channel(worker_command(None, "depthport.bench.workers.export_worker"), worker_environment())
    except WorkerGone as error:
        return _gone(error)
    try:
        reply = channel.request(request, timeout_s, lambda event: observer.step(event["step"]))
    except WorkerTimeout as error:
        reply = {"error": f"it took over {error.seconds:.0f} s", "status": Status.TIMED_OUT.value}
    except WorkerGone as error:
        reply = _gone(error)
    except BaseException:
        channel.kill()  # stopped: whoever waits for the end of a run does not wait for an export
        raise
    channel.close(timeout_s=5)
    return reply


def _gone(error: WorkerGone) -> dict[str, Any]:
    return {"error": error.reason, "status": Status.EXPORT_FAILED.value, "passing": error.passing}
