"""The Python API of which the command line is a thin layer.

>>> import depthport
>>> results = depthport.run("da3-small", views=2, out="results")           # doctest: +SKIP
>>> [(cell.id, cell.timing["device"].median_ms) for cell in results.cells if cell.timing]   # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from depthport.bench.analysis.ground_truth import ground_truth_scenes
from depthport.bench.inputs.encoded import encoded_scenes
from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.plan.request import DEFAULT_MODEL, MeasureKeywords, MeasureRequest, measure_request
from depthport.bench.plan.suites import build_cells
from depthport.bench.results.model import Results
from depthport.exporters.core.asked import check_keywords
from depthport.exporters.core.files.paths import user_path
from depthport.exporters.core.store import ArtifactStore

if TYPE_CHECKING:
    from typing_extensions import Unpack


def plan(model: str = DEFAULT_MODEL, **asked: Unpack[MeasureKeywords]) -> RunPlan:
    """Check a request and lay out its cells; nothing is built or written.

    Args:
        model: as :func:`depthport.exporters.export` takes it.
        asked: shape, weights, suite, filters, ...: see :class:`~depthport.bench.plan.request.MeasureKeywords`.

    Raises:
        TypeError: an unknown keyword.
        UsageError, InputError, WeightsError: what is wrong with the request, in one line (exit code 2).
    """
    check_keywords(plan, asked, MeasureKeywords)
    return lay_out(measure_request(model, **asked))


def lay_out(request: MeasureRequest) -> RunPlan:
    """Cells and inputs of a request; raises as :func:`plan` does."""
    asked, protocol = request.export, request.protocol
    if protocol.boundary == "pipeline":
        files = encoded_scenes(asked.shape, sets=protocol.inputs, images=request.images, source_size=asked.source_size)
        return RunPlan(request, build_cells(request), files)
    scenes = load_scenes(
        asked.shape, sets=protocol.inputs, images=request.images, poses=request.poses, source_size=asked.source_size
    )
    truth = (
        ground_truth_scenes(asked.shape, protocol.ground_truth_scenes, asked.source_size) if request.regime is None else ()
    )
    return RunPlan(request, build_cells(request), scenes, truth)


def run(
    model: str = DEFAULT_MODEL,
    *,
    out: Path | str = "results",
    store: ArtifactStore | None = None,
    observer: Observer | None = None,
    overwrite: bool = False,
    **asked: Unpack[MeasureKeywords],
) -> Results:
    """Export, measure and check `model` on every runtime of this machine; other keywords as in :func:`plan`.

    Returns the results, which are also in `out/results.json`. The same call resumes a run that was interrupted;
    another configuration's run in `out` is refused, or put aside if `overwrite` says so.

    Raises:
        TypeError: an unknown keyword.
        UsageError, InputError, WeightsError: what is wrong with the request, in one line (exit code 2).
        StorageError: `out` can't be written to, or the disk is full.
    """
    check_keywords(run, asked, MeasureKeywords)
    the_plan = plan(model, **asked)
    return engine.run(the_plan, user_path(out), store or ArtifactStore(), observer or Observer(), overwrite=overwrite)
