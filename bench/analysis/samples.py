"""From the journal's blocks to the samples that the statistics take and the results keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from depthport.bench.results.model import Boundary, Samples
from depthport.bench.statistics.samples import Block, CellSamples

_FIELD: dict[Boundary, str] = {"device": "device_ns", "host": "host_ns"}


def cell_samples(cell: str, boundary: Boundary, blocks: Iterable[Mapping[str, Any]]) -> CellSamples | None:
    """A cell's timed blocks at one boundary, in (launch, round, position) order; None if there are none.

    Warm-up calls are no part of it: they are journaled with the launch, before the first block.
    """
    own = [b for b in blocks if b["cell"] == cell and b.get(_FIELD[boundary])]
    own.sort(key=lambda b: (b["launch"], b["round"], b["visit"]))
    if not own:
        return None
    return CellSamples(
        cell, tuple(Block(b["launch"], b["round"], np.array(b[_FIELD[boundary]], float) / b["calls"]) for b in own)
    )


def raw_samples(
    cell: str, boundary: Boundary, blocks: Iterable[Mapping[str, Any]], launches: Iterable[Mapping[str, Any]]
) -> Samples:
    """Every sample in the order taken, warm-up calls among them and marked (device boundary; ms per call)."""
    rows: list[tuple[float, float, int, int, int, bool]] = []
    if boundary == "device":
        for launch in launches:
            if launch["cell"] == cell:
                began = launch["started_s"] + launch["load_s"] + launch["first_call_ms"] / 1e3
                for ms in launch["warmup_ms"]:
                    rows.append((began, ms, launch["launch"], -1, -1, False))
                    began += ms / 1e3
    calls = 1
    for block in blocks:
        if block["cell"] != cell or not block.get(_FIELD[boundary]):
            continue
        calls = block["calls"]
        for ns, start in zip(block[_FIELD[boundary]], block["starts_s"], strict=True):
            rows.append((start, ns / calls / 1e6, block["launch"], block["round"], block["visit"], True))
    rows.sort(key=lambda row: row[0])
    return Samples(
        ms=[round(r[1], 6) for r in rows],
        start_s=[round(r[0], 6) for r in rows],
        launch=[r[2] for r in rows],
        round=[r[3] for r in rows],
        block=[r[4] for r in rows],
        steady=[r[5] for r in rows],
        calls_per_sample=calls,
    )
