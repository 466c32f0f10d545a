"""The Python API of which the command line is a thin layer.

>>> import depthport
>>> results = depthport.run("da3-small", views=2, out="results")           # doctest: +SKIP
>>> [(cell.id, cell.timing["device"].median_ms) for cell in results.cells if cell.timing]   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from depthport.bench.analysis.ground_truth import truth_scenes
from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import Plan
from depthport.bench.measure.regime_run import Regime
from depthport.bench.plan.protocol import get_protocol
from depthport.bench.plan.request import Filters, Request
from depthport.bench.plan.suites import build_cells
from depthport.bench.results.model import Results
from depthport.exporters.core import asked
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.open_dims import validate_dynamic
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.models import validate_pose_input
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.shapes import validate_shape
from depthport.exporters.da3.weights import resolve_weights
from depthport.exporters.inputs.preprocess import validate_source
from depthport.runtimes.terms import check_memory_fraction

DEFAULT_MODEL = "da3-small"


def plan(
    model: str = DEFAULT_MODEL,
    *,
    batch: int = 1,
    views: int = 1,
    height: int = 504,
    width: int = 504,
    weights: str | None = None,
    images: Sequence[Path | str] = (),
    suite: str = "default",
    protocol: str | None = None,
    filters: Filters | None = None,
    precisions: Sequence[str] = (),
    threads: int | None = None,
    memory_fraction: float | None = None,
    budget_s: float | None = None,
    launches: int | None = None,
    seed: int | None = None,
    interpreters: Mapping[str, str] | None = None,
    regime: Regime | None = None,
    dynamic: Sequence[str] = (),
    pose_input: bool = False,
    poses: Path | str | None = None,
    preprocess: bool = False,
    source_size: tuple[int, int] | None = None,
) -> Plan:
    """Check a request and lay out its cells; nothing is built or written.

    Raises:
        UsageError, InputError, WeightsError: what is wrong with the request, in one line (exit code 2).
    """
    validate_shape(batch, views, height, width)
    spec = get_model(model)
    shape = Shape(batch, views, height, width)
    ref = resolve_weights(weights, spec.reference)
    default_protocol = {"paper": "paper", "quick": "quick"}.get(suite, "rigorous")
    chosen = get_protocol(default_protocol if protocol is None else protocol)
    check_memory_fraction(memory_fraction)
    for bounds, value in (
        (asked.THREADS, threads),
        (asked.BUDGET_S, budget_s),
        (asked.LAUNCHES, launches),
        (asked.SEED, seed),
    ):
        bounds.check(value)
    chosen = replace(
        chosen,
        budget_s=chosen.budget_s if budget_s is None else budget_s,
        launches=chosen.launches if launches is None else launches,
        seed=chosen.seed if seed is None else seed,
    )
    opened = validate_dynamic(dynamic, shape)
    pose_input = pose_input or poses is not None
    preprocess = preprocess or source_size is not None
    validate_pose_input(spec, pose_input)
    if source_size is not None:
        validate_source(source_size, shape, opened)
    scenes = load_scenes(shape, sets=chosen.inputs, images=images, poses=poses, source_size=source_size)
    request = Request(
        model=spec.name,
        shape=shape,
        weights=ref.id,
        suite=suite,
        filters=filters or Filters(),
        precisions=tuple(precisions),
        threads=threads,
        memory_fraction=memory_fraction,
        interpreters=dict(interpreters or {}),
        dynamic=opened,
        pose_input=pose_input,
        preprocess=preprocess,
        source_size=source_size,
    )
    facts: dict[str, Any] = {
        "id": ref.id,
        "sha256": ref.sha256,
        "synthetic": ref.synthetic,
        "licence": ref.licence,
        "note": ref.note,
    }
    # What a worker finds them by, where their names are not enough.
    cells = tuple(
        replace(cell, export=replace(cell.export, model_source=spec.source or None, weights_source=ref.source))
        for cell in build_cells(request)
    )
    truth = truth_scenes(shape, chosen.truth_scenes, source_size) if regime is None else ()
    return Plan(cells, scenes, chosen, facts, pose_input, preprocess, suite=suite, regime=regime, truth=truth)


def run(
    model: str = DEFAULT_MODEL,
    *,
    out: Path | str = "results",
    store: ArtifactStore | None = None,
    observer: Observer | None = None,
    overwrite: bool = False,
    **request: Any,
) -> Results:
    """Export, measure and check `model` on every runtime of this machine; keywords as in :func:`plan`.

    Returns the results, which are also in `out/results.json`. A run that was interrupted goes on with the same call;
    another configuration's run in `out` is refused, or put aside if `overwrite` says so.

    Raises:
        UsageError and its kin: what is wrong with the request, in one line (exit code 2).
        StorageError: `out` can't be written to, or the disk is full.
    """
    planned = plan(model, **request)
    return engine.run(planned, Path(out), store or ArtifactStore(), observer or Observer(), overwrite=overwrite)
