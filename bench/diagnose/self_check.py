"""`doctor --self-check`: on this machine, does every runtime compute what upstream computes? Two minutes at most.

Small shape, synthetic weights, no download: suite `check` under the protocol of a check. Where an artifact has a runtime
that only shows its numerics (:attr:`~depthport.runtimes.base.Device.numerics_only`), that runs in place of one that is not
here and beside one that is: if both fail the artifact is wrong, if one does it is the runtime or us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from depthport.bench.diagnose.check import check_cells
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.cells import UNTIMED, CellSpec
from depthport.bench.plan.request import MeasureRequest, measure_request
from depthport.bench.plan.suites import build_cells
from depthport.bench.results.model import Results, Status
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.registry import get_exporter
from depthport.runtimes.registry import get_runtime

MODEL, WEIGHTS = "da3-small", "synthetic:0"
VIEWS, HEIGHT, WIDTH = 3, 70, 98
"""Three views: the least for which upstream chooses a reference view."""
BUDGET_S = 110.0

_ABSENT = (Status.UNAVAILABLE, Status.UNSUPPORTED)
NOT_REACHED = (Status.NOT_MEASURED, Status.TIMED_OUT)


def request(budget_s: float = BUDGET_S) -> MeasureRequest:
    """Request of a self-check; no cell begins after `budget_s` seconds, and none runs longer."""
    asked = measure_request(MODEL, weights=WEIGHTS, suite="check", views=VIEWS, height=HEIGHT, width=WIDTH)
    return replace(asked, protocol=replace(asked.protocol, limit_s=budget_s))


def run(
    asked: MeasureRequest,
    cells: Sequence[CellSpec],
    *,
    store: ArtifactStore | None = None,
    observer: Observer | None = None,
) -> Results:
    """Run the cells as far as the time allows and return their results; `store` as :func:`check_cells` takes it."""
    return check_cells(asked, cells, store, observer or Observer())


def default_cells(asked: MeasureRequest) -> list[CellSpec]:
    """Every runtime, the quickest to check first, the slowest and the missing ones last."""

    def order(cell: CellSpec) -> tuple[bool, bool, bool]:
        if cell.unavailable:
            return True, True, True
        slow = cell.mode in (get_runtime(cell.runtime).compiles or ()) or get_exporter(cell.export.format).slow
        return False, slow, cell.numerics_only != UNTIMED

    return sorted(build_cells(asked), key=order)


def passed(results: Results) -> bool:
    """Nothing failed, and something was checked."""
    ended = [cell.status for cell in results.cells]
    return Status.OK in ended and set(ended) <= {Status.OK, *_ABSENT, *NOT_REACHED}
