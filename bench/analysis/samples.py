"""From the journal's blocks to the samples that the statistics take and the results keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from depthport.bench.results.model import BOUNDARIES, Boundary
from depthport.bench.results.records import Launch, TimedBlock
from depthport.bench.results.samples import Samples
from depthport.bench.statistics.samples import Block, CellSamples


def cell_samples(cell: str, boundary: Boundary, blocks: Sequence[TimedBlock], *, calm: bool) -> CellSamples | None:
    """A cell's timed blocks at one boundary, in (launch, round, position) order; None if there are none.

    `calm`: its ratios are formed without the time that its threads waited for a CPU.

    Warm-up calls are no part of it: they are journaled with the launch, before the first block.
    """
    own = [(b, ns) for b in blocks if b.cell == cell and (ns := _sample_ns(b, boundary))]
    own.sort(key=lambda found: (found[0].launch, found[0].round, found[0].visit))
    if not own:
        return None
    rounds = {(b.launch, b.round) for b, _ in own}
    round_blocks = sum((b.launch, b.round) in rounds for b in blocks if _sample_ns(b, boundary)) / len(rounds)
    shares = [(b.calm_share or 1.0, b.doubt_share) if calm else (1.0, 0.0) for b, _ in own]
    found = (
        Block(b.launch, b.round, np.array(ns, float) / b.calls, calm=share, doubt=doubt)
        for (b, ns), (share, doubt) in zip(own, shares, strict=True)
    )
    return CellSamples(cell, tuple(found), round_blocks)


def calmest(blocks: Iterable[TimedBlock]) -> list[TimedBlock]:
    """The blocks that count: of those that a visit ran again, the one whose threads waited least for a CPU."""
    best: dict[tuple[object, ...], TimedBlock] = {}
    for block in blocks:
        timed = tuple(_sample_ns(block, boundary) is None for boundary in BOUNDARIES)
        visit = (block.cell, block.launch, block.round, block.visit, timed)
        if visit not in best or (block.calm_share or 1.0) > (best[visit].calm_share or 1.0):
            best[visit] = block
    return list(best.values())


def raw_samples(
    cell: str, boundary: Boundary, blocks: Sequence[TimedBlock], launches: Iterable[Launch], *, calm: bool = False
) -> Samples:
    """Every sample in the order taken (device boundary; ms per call).

    Warm-up calls, and blocks that were run again, are among them and marked.
    """
    counted = {id(block) for block in calmest(blocks)}
    rows: list[tuple[float, float, int, int, int, bool, float, float]] = []
    if boundary == "device":
        for launch in launches:
            if launch.cell == cell:
                began = launch.started_s + launch.load_s + launch.first_call_ms / 1e3
                for ms in launch.warmup_ms:
                    rows.append((began, ms, launch.launch, -1, -1, False, 1.0, 0.0))
                    began += ms / 1e3
    calls = 1
    for block in blocks:
        sample_ns = _sample_ns(block, boundary)
        if block.cell != cell or not sample_ns:
            continue
        calls = block.calls
        place = block.launch, block.round, block.visit, id(block) in counted
        for ns, start in zip(sample_ns, block.starts_s, strict=True):
            rows.append((start, ns / calls / 1e6, *place, block.calm_share or 1.0, block.doubt_share))
    rows.sort(key=lambda row: row[0])
    return Samples(
        ms=[round(r[1], 6) for r in rows],
        start_s=[round(r[0], 6) for r in rows],
        launch=[r[2] for r in rows],
        round=[r[3] for r in rows],
        block=[r[4] for r in rows],
        steady=[r[5] for r in rows],
        calm=[r[6] for r in rows] if calm else [],
        doubt=[r[7] for r in rows] if calm else [],
        calls_per_sample=calls,
    )


def _sample_ns(block: TimedBlock, boundary: Boundary) -> list[int] | None:
    found: dict[Boundary, list[int] | None] = {
        "device": block.device_ns, "host": block.host_ns, "pipeline": block.pipeline_ns, "stream": block.stream_ns,
    }  # fmt: skip
    return found[boundary]
