"""From a run's journal to its results: analysis, parity, accuracy, pictures, advice. Measures nothing, runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import msgspec

from depthport.bench.analysis.analysis import analyse, fp64_error
from depthport.bench.analysis.controls import judge_controls
from depthport.bench.analysis.evidence import Evidence
from depthport.bench.analysis.ground_truth import judge_accuracy
from depthport.bench.analysis.postprocess import draw, warnings
from depthport.bench.inputs.inputs import describe
from depthport.bench.measure.plan import RunPlan
from depthport.bench.plan.cells import asked_of
from depthport.bench.results.journal import Journal
from depthport.bench.results.kept_parity import keep_parity
from depthport.bench.results.model import Results, Status
from depthport.bench.results.records import Header
from depthport.bench.results.runtime_facts import describe as describe_runtimes
from depthport.bench.results.sections import Environment, InputsSection, ProtocolSection, WeightsSection


def work_folder(out: Path) -> Path:
    """Folder in which a run into `out` keeps inputs and outputs until it is finished."""
    return out / "work"


def conclude(
    plan: RunPlan,
    journal: Journal,
    references: Mapping[str, Path],
    out: Path,
    environment: Environment,
    *,
    complete: bool,
    artifacts: Mapping[str, Path] = MappingProxyType({}),
) -> Results:
    """The results of what the journal holds so far.

    Parity is kept beside the artifacts too, and pictures go to `out/pictures`.

    Args:
        references: upstream's outputs by name (`fp32-0`, …): `.npz` files.
        out: the run's folder; the outputs that the journal names are in its :func:`work_folder`.
        environment: the machine, as `bench/environment/environment.py` describes it.
        complete: False: the run was stopped.
        artifacts: folders of the artifacts to record parity with, by the cells' ids.

    Raises:
        StorageError: `out` can't be written to, or the disk is full.
    """
    work = work_folder(out)
    evidence, ids = Evidence(journal), [cell.id for cell in plan.cells]
    accuracy = judge_accuracy(ids, plan.scenes, plan.ground_truth, evidence, work, plan.export.weights.synthetic)
    views, pictures = draw(ids, evidence, plan.scenes, references, work, out)
    cells = analyse(plan.cells, evidence, plan.protocol, references, work, accuracy, pictures)
    controls = judge_controls(plan.cells, evidence, plan.protocol)
    for cell in cells:
        passed = cell.status is not Status.PARITY_FAILED and not cell.baseline
        if passed and cell.parity is not None and cell.id in artifacts:
            keep_parity(artifacts[cell.id], cell.id, cell.parity)
    weights = plan.export.weights
    synthetic = [weights.id] if weights.synthetic and plan.cells else []
    return Results(
        environment=environment,
        protocol=msgspec.convert(
            {
                **plan.protocol.to_json(),
                "regime": asdict(plan.request.regime) if plan.request.regime else {"kind": "burst"},
                "suite": plan.request.suite,
                "asked": asked_of(plan.cells),
                "yardstick": fp64_error(references, (plan.scenes[0].shape.height, plan.scenes[0].shape.width)),
            },
            ProtocolSection,
        ),
        inputs=msgspec.convert(
            {**describe(plan.scenes), "truth": [scene.name for scene in plan.ground_truth], "picture": views}, InputsSection
        ),
        weights={plan.export.model.name: msgspec.convert(weights.facts(), WeightsSection)},
        cells=cells,
        controls=controls,
        runtimes=describe_runtimes(cell.runtime for cell in cells),
        warnings=warnings(controls, synthetic, evidence),
        created=journal.of(Header)[0].created,
        complete=complete,
        bundle=plan.bundle,
    )
