"""A failed request as data."""

from __future__ import annotations

from typing import Any

from depthport.bench.results.model import Status
from depthport.bench.workers.messages import Failure, Load, Request
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


def failure(error: Exception, request: Request[Any] | None) -> Failure:
    """Return the status that a cell gets, a reason in one line, and the resource the machine was short of.

    `request` is None where it could not be read.
    """
    status = Status.RUN_FAILED if request is None else request.failed
    if isinstance(error, UnavailableError):
        status = Status.UNAVAILABLE
    elif isinstance(error, UnsupportedError):
        status = Status.UNSUPPORTED
    elif isinstance(error, PlacementError):
        status = Status.LOAD_FAILED if isinstance(request, Load) else Status.RUN_FAILED
    elif isinstance(error, ExportError):
        status = Status.EXPORT_FAILED
    # Reasons are printed in reports, which are shown to anybody.
    # A name that is not UTF-8 has surrogates, which no message or journal can hold.
    said = str(error).encode("utf-8", "replace").decode()
    text = without_paths(" ".join(said.split()))
    passing = passing_fault(error)
    if passing == OUT_OF_MEMORY and not isinstance(error, DepthportError):
        reason = tidy(f"out of memory: {text}") if text else "out of memory"
    elif isinstance(error, DepthportError):
        reason = tidy(text)
    else:
        reason = tidy(f"{type(error).__name__}: {text}")
    return Failure(status, reason, passing)
