"""Exports in a process of their own: an exporter that crashes or runs out of memory costs one row, and its peak memory
is that process's own. Speaks the worker's protocol (bench/workers/channel.py)."""

from __future__ import annotations

if __name__ == "__main__":
    from depthport.bench.workers.lifeline import die_with_manager

    die_with_manager()

from pathlib import Path
from typing import Any


def export(request: dict[str, Any], send: Any) -> dict[str, Any]:
    """Make or find one artifact; progress goes out as events."""
    from depthport.exporters.api import export as export_artifact
    from depthport.exporters.core.store import ArtifactStore

    stored = export_artifact(
        **request["arguments"],
        store=ArtifactStore(Path(request["store"])),
        progress=lambda step: send({"event": "progress", "step": step}),
    )
    manifest = stored.artifact.manifest
    return {
        "artifact": str(stored.artifact.path),
        "origin": stored.origin,
        "damage": stored.damage,
        "export_s": manifest.export_s,
        "export_peak_mib": manifest.export_peak_mib,
        "key": manifest.key,
    }


def reference(request: dict[str, Any], send: Any) -> dict[str, Any]:
    """Compute upstream's own outputs, the reference of every parity figure (bench/workers/reference.py)."""
    from depthport.bench.workers.reference import compute

    return compute(request, lambda step: send({"event": "progress", "step": step}))


def interpret(request: dict[str, Any], send: Any) -> dict[str, Any]:
    """Run an artifact in the runtime's interpreter (bench/workers/interpret.py)."""
    from depthport.bench.workers.interpret import interpret as run

    return run(request)


def main() -> None:
    import traceback

    from depthport.bench.workers.channel import WorkerEnd
    from depthport.bench.workers.failure import failure

    channel = WorkerEnd()
    operations = {"export": export, "reference": reference, "interpret": interpret}
    for request in channel.requests():
        try:
            reply = operations[request["op"]](request, channel.send)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever an exporter raises becomes a row's reason
            traceback.print_exc()
            reply = failure(error, "export")
        channel.send(reply)


if __name__ == "__main__":
    main()
