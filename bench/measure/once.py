"""Cells that are compared but not timed: each alone in its process, one call for every input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from depthport.bench.measure.limit import Limit
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.pool import Timed, outputs_file
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Status
from depthport.bench.results.records import GroundTruthOutputs, SessionReport, TimedBlock
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
    """Journal the outputs of every cell that a stopped run has left out; a cell that fails is journaled as failed.

    Args:
        inputs: `.npz` files in the run's work folder, of which results keep the outputs.
        truth: the same of the scenes with exact truth.
    """
    observer.stage("computing outputs", len(cells))
    for timed in cells:
        observer.step(timed.spec.id)
        try:
            _run_cell(timed, inputs, truth, _limited(protocol, limit), journal)
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


def _run_cell(timed: Timed, inputs: Sequence[Path], truth: Sequence[Path], protocol: Protocol, journal: Journal) -> None:
    cell = timed.spec.id
    outputs = [inputs[0].with_name(outputs_file(cell, index)) for index in range(len(inputs))]
    scenes = [inputs[0].with_name(outputs_file(cell, f"truth-{index}")) for index in range(len(truth))]
    if any(e.cell == cell for e in journal.of(SessionReport)) and all(map(is_whole, (*outputs, *scenes))):
        return  # the report comes last
    live = LiveCell(timed.spec, timed.artifact, list(inputs), protocol)
    try:
        live.load()
        for index, path in enumerate(outputs):
            found = live.compute(index, path)
            journal.append(
                TimedBlock(
                    cell=cell, launch=0, round=index, visit=0, calls=1, device_ns=None, host_ns=found.host_ns,
                    starts_s=[0.0], input=index, outputs_sha256=found.outputs_sha256, outputs=path.name,
                )
            )  # fmt: skip
        for index, path in enumerate(scenes):
            live.infer(truth[index], path)
            journal.append(GroundTruthOutputs(cell=cell, scene=index, outputs=path.name))
        journal.append(live.report())
    except BaseException:
        live.kill()
        raise
    live.close()
