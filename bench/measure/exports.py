"""Artifacts for a run: made in a process of their own, and what the journal says of them."""

from __future__ import annotations

from typing import Any

from depthport.bench.measure.observer import Observer
from depthport.bench.results.model import Status
from depthport.bench.workers.channel import Channel, WorkerGone, WorkerTimeout
from depthport.bench.workers.start import worker_command, worker_environment
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.text import without_paths


def artifact_entry(artifact: Artifact, origin: str) -> dict[str, Any]:
    """An artifact as the journal keeps it: what results say of it, and no path: a journal may be sent to others."""
    manifest = artifact.manifest
    options = {name: without_paths(value) if isinstance(value, str) else value for name, value in manifest.options.items()}
    return {
        "origin": origin,
        "export_s": manifest.export_s,
        "export_peak_mib": manifest.export_peak_mib,
        "key": manifest.key,
        "facts": {
            "key": manifest.key,
            "size_bytes": manifest.size_bytes,
            "versions": manifest.versions,
            "target": manifest.target,
            "options": options,
            "dynamic": list(manifest.dynamic),
            "inputs": [spec.name for spec in manifest.inputs],
            "preprocessing": manifest.preprocessing,
            "export_peak_mib": manifest.export_peak_mib,
            # Core ML: what the Neural Engine is predicted to refuse (exporters/coreml/mil/ane.py).
            **({"neural_engine": manifest.extra["neural_engine"]} if "neural_engine" in manifest.extra else {}),
        },
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
