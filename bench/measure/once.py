"""Cells whose outputs are compared and whose time nobody wants: each alone in its process, one call for every input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from depthport.bench.measure.crew import Timed
from depthport.bench.measure.limit import Limit
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Status
from depthport.bench.results.records import Block, TruthOutputs
from depthport.bench.workers.live_cell import CellFailed, LiveCell
from depthport.exporters.core.files.npz import is_whole


def run_once(
    cells: Sequence[Timed],
    inputs: Sequence[Path],
    truth: Sequence[Path],
    protocol: Protocol,
    journal: Journal,
    observer: Observer,
    limit: Limit,
) -> None:
    """Journal the outputs of every cell, those that a stopped run has left out; a cell that fails is journaled as failed.

    Args:
        cells: of the run's plan, always in one order: it names their files.
        inputs: `.npz` files in the run's work folder, of which results keep the outputs.
        truth: the same of the scenes with exact truth.
    """
    observer.stage("computing outputs", len(cells))
    for number, timed in enumerate(cells):
        observer.step(timed.spec.id)
        try:
            _run_cell(timed, number, inputs, truth, _limited(protocol, limit), journal)
        except CellFailed as failure:
            journal.append(failure.record(timed.spec.id, log=protocol.logs))
            observer.warning(f"{timed.spec.id}: {failure.status.value}: {failure.reason}")
        observer.step(timed.spec.id, 1)


def _limited(protocol: Protocol, limit: Limit) -> Protocol:
    """The protocol with no timeout beyond the limit."""
    if limit.over():
        raise CellFailed(Status.NOT_MEASURED, limit.REASON)
    return replace(
        protocol, load_timeout_s=limit.within(protocol.load_timeout_s), call_timeout_s=limit.within(protocol.call_timeout_s)
    )


def _run_cell(
    timed: Timed, number: int, inputs: Sequence[Path], truth: Sequence[Path], protocol: Protocol, journal: Journal
) -> None:
    cell = timed.spec.id
    work = inputs[0].parent
    kept = {e.input for e in journal.of(Block) if e.cell == cell and e.outputs and is_whole(work / e.outputs)}
    inferred = {e.scene for e in journal.of(TruthOutputs) if e.cell == cell and is_whole(work / e.outputs)}
    missing = [index for index in range(len(inputs)) if index not in kept]
    scenes = [index for index in range(len(truth)) if index not in inferred]
    if not (missing or scenes):
        return
    live = LiveCell(timed.spec, timed.artifact, list(inputs), protocol)
    try:
        live.load()
        for index in missing:
            outputs = work / f"once-{number}-{index}.npz"
            found = live.compute(index, outputs)
            journal.append(
                Block(
                    cell=cell, launch=0, round=index, visit=0, calls=1, device_ns=None, host_ns=found.host_ns,
                    starts_s=[0.0], input=index, outputs_sha256=found.outputs_sha256, outputs=outputs.name,
                )
            )  # fmt: skip
        for index in scenes:
            outputs = work / f"once-{number}-truth-{index}.npz"
            live.infer(truth[index], outputs)
            journal.append(TruthOutputs(cell=cell, scene=index, outputs=outputs.name))
        journal.append(live.report())
    except BaseException:
        live.kill()
        raise
    live.close()
