"""Exports in a separate process.

An exporter that crashes or runs out of memory costs one row, and its peak memory is that process's own. Speaks the
worker's protocol (bench/workers/channel.py).
"""

from __future__ import annotations

if __name__ == "__main__":
    from depthport.bench.workers.lifeline import die_with_manager

    die_with_manager()

from collections.abc import Callable
from pathlib import Path

from depthport.bench.workers.exporting import ComputeReference, Export, Exported, ExportingRequest
from depthport.bench.workers.messages import Done
from depthport.bench.workers.reference import compute
from depthport.bench.workers.serve import serve
from depthport.exporters.api import export_request
from depthport.exporters.core.store import ArtifactStore


def handle(request: ExportingRequest, progress: Callable[[str], None]) -> Exported | Done:
    """Carry out one request; raises what the exporter raised."""
    match request:
        case Export():
            return export(request, progress)
        case ComputeReference():
            compute(request, progress)
            return Done()


def export(request: Export, progress: Callable[[str], None]) -> Exported:
    """Make or find one artifact."""
    stored = export_request(request.request, ArtifactStore(Path(request.store)), progress)
    return Exported(str(stored.artifact.path), stored.origin, stored.damage)


if __name__ == "__main__":
    serve(ExportingRequest, handle)
