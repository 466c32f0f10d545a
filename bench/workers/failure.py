"""A failed request as data."""

from __future__ import annotations

from typing import Any

from depthport.exporters.core.errors import DepthportError, ExportError, PlacementError, UnavailableError, UnsupportedError


def failure(error: Exception, operation: str) -> dict[str, Any]:
    """A failed request as data: the status its cell gets and a reason in one line."""
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
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        reason = f"out of memory: {text[:200]}" if text else "out of memory"
    elif isinstance(error, DepthportError):
        reason = text
    else:
        reason = f"{type(error).__name__}: {text[:300]}"
    return {"error": reason, "status": status, "exit_code": getattr(error, "exit_code", 1)}
