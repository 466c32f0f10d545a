"""One configuration to look at closely, from what is asked: the mode that is named, or the best that takes the rest."""

from __future__ import annotations

from collections.abc import Container

from depthport.exporters.api import check_request, prepare
from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.weights_ref import WeightsRef
from depthport.runtimes.base import Mode, Runtime


def configure(
    model: str,
    runtime: Runtime,
    device: str,
    mode: str | None,
    precision: str | None,
    weights: WeightsRef,
    shape: tuple[int, int, int, int],
    among: Container[str] | None = None,
) -> tuple[Mode, ExportRequest]:
    """The mode and what it runs.

    Args:
        mode: one of the device's, or an alias; None: the first of :meth:`Runtime.by_preference` that has a form of model
            and precision.
        precision: a policy; None: the mode's own.
        shape: B, N, H, W.
        among: the modes that do; None: all.

    Raises:
        UsageError, UnavailableError: the runtime has no such device or mode.
        UnsupportedError: a mode that is not among them, or none has a form of what is asked.
    """
    place = runtime.device(device)
    named = [runtime.mode(place, mode)] if mode is not None else runtime.by_preference(place)
    refused: UnsupportedError | None = None
    for candidate in named:
        if among is not None and candidate.name not in among:
            continue
        policy = precision or next(iter(candidate.precisions or place.precisions), "fp32")
        batch, views, height, width = shape
        try:
            request = prepare(
                model, format=runtime.formats[0], precision=policy, batch=batch, views=views, height=height, width=width,
                weights=weights, target=runtime.target(device, candidate, policy), options=dict(candidate.export_options),
            )  # fmt: skip
            check_request(request)
        except UnsupportedError as error:
            refused = refused or error
        else:
            return candidate, request
    raise refused or UnsupportedError(f"mode {mode!r} of runtime {runtime.name!r} can't be looked at so: name another")
