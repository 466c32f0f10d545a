"""A failed request as data."""

from __future__ import annotations

from typing import Any

from depthport.bench.workers.passing import OUT_OF_MEMORY, passing_fault
from depthport.exporters.core.errors import (
    DepthportError,
    ExportError,
    PlacementError,
    UnavailableError,
    UnsupportedError,
    tidy,
)
from depthport.exporters.core.text import without_paths


def failure(error: Exception, operation: str) -> dict[str, Any]:
    """A failed request as data: the status its cell gets, a reason in one line, and what the machine was short of
    (`passing`, null where that was not it)."""
    if isinstance(error, UnavailableError):
        status = "unavailable"
    elif isinstance(error, UnsupportedError):
        status = "unsupported"
    elif isinstance(error, ExportError) or operation == "export":
        status = "export_failed"
    elif operation in ("load", "hello"):
        status = "load_failed"
    else:
        status = "run_failed"
    if isinstance(error, PlacementError):
        status = "load_failed" if operation == "load" else "run_failed"
    # Reasons are printed in reports, which are shown to anybody.
    text = without_paths(" ".join(str(error).split()))
    passing = passing_fault(error)
    if passing == OUT_OF_MEMORY and not isinstance(error, DepthportError):
        reason = tidy(f"out of memory: {text}") if text else "out of memory"
    elif isinstance(error, DepthportError):
        reason = tidy(text)
    else:
        reason = tidy(f"{type(error).__name__}: {text}")
    return {"error": reason, "status": status, "exit_code": getattr(error, "exit_code", 1), "passing": passing}
