"""Contents of one visit of a cell: its boundaries, samples, and the untimed calls before them.

Fixed for a run from what calls took in the first launch, and the same for cells about as fast as each other. Both matter
because the calls after a parked worker wakes are slower (caches hold another process's data; measured, an ONNX Runtime
call of 14 ms on 2 cores: 2 % the second call, 1 % the third): a cell that ran three samples where its twin ran four, or
fewer whenever the machine was slow, came out 0.5 to 1 % slower for that alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from depthport.bench.plan.design import block_samples, block_warmups
from depthport.bench.results.model import BlockBoundary
from depthport.bench.statistics.samples import group_size

ALIKE = 1.5
"""Cells whose calls take up to this many times as long as the fastest of them run blocks of the same count."""
STREAM_SCENES = 8
"""Fewest scenes of a stream's block."""
_BOTH_FACTOR = 1000
_BOTH_MIN_S = 0.01
_CLOCK_S = 1e-7
"""Two reads of perf_counter_ns, generously."""


@dataclass(frozen=True)
class CallTimes:
    """Seconds of one call and of a synchronize with nothing to wait for."""

    call_s: float
    sync_s: float


@dataclass(frozen=True)
class VisitBlock:
    """A block of `samples` samples of `calls` calls each at one boundary, after `warmups` untimed calls.

    The boundary is `device`, `host` or `both`.
    """

    boundary: BlockBoundary
    calls: int
    samples: int
    warmups: int


@dataclass(frozen=True)
class Visit:
    """The blocks of one turn, in order."""

    blocks: tuple[VisitBlock, ...]

    @property
    def calls(self) -> int:
        """All calls of the turn, the untimed ones too."""
        return sum(block.warmups + block.samples * block.calls for block in self.blocks)


def plan_visits(
    times: Mapping[str, CallTimes], overhead_target: float, timed_calls: int | None, *, from_files: bool = False
) -> dict[str, Visit]:
    """Plan each cell's visit.

    One block gives both boundaries where calls are long (an extra synchronize hides in them), else each has its own.
    `timed_calls` fixes the samples (the `paper` protocol). `from_files`: scenes alone, then a stream.
    """
    paces = _paces({cell: t.call_s for cell, t in times.items()})
    if from_files:
        return {cell: _visit_from_files(pace, timed_calls) for cell, pace in paces.items()}
    return {cell: _visit(t, paces[cell], overhead_target, timed_calls) for cell, t in times.items()}


def _visit_from_files(pace_s: float, timed_calls: int | None) -> Visit:
    alone = timed_calls or block_samples(pace_s)
    warmups = 0 if timed_calls else block_warmups(pace_s)
    # A stream has to be long beside what is under way in it: what is decoded ahead, what is being computed.
    stream = max(STREAM_SCENES, alone)
    return Visit((VisitBlock("pipeline", 1, alone, warmups), VisitBlock("stream", 1, stream, warmups)))


def _paces(call_s: Mapping[str, float]) -> dict[str, float]:
    """Call times by which samples are counted: cells alike share that of the fastest of them."""
    paces: dict[str, float] = {}
    pace = 0.0
    for cell in sorted(call_s, key=lambda cell: (call_s[cell], cell)):
        if not pace or call_s[cell] > ALIKE * pace:
            pace = call_s[cell]
        paces[cell] = pace
    return paces


def _visit(times: CallTimes, pace_s: float, overhead_target: float, timed_calls: int | None) -> Visit:
    both = times.call_s >= _BOTH_MIN_S and times.call_s >= _BOTH_FACTOR * times.sync_s
    grouped = group_size(pace_s, times.sync_s + _CLOCK_S, overhead_target)
    blocks = []
    parts: list[tuple[BlockBoundary, int]] = [("both", 1)] if both else [("device", grouped), ("host", 1)]
    for boundary, calls in parts:
        if timed_calls is not None:
            blocks.append(VisitBlock(boundary, 1, timed_calls, 0))
            continue
        # The second block of a visit follows the first without a pause.
        warmups = 0 if blocks else block_warmups(pace_s)
        blocks.append(VisitBlock(boundary, calls, block_samples(calls * pace_s), warmups))
    return Visit(tuple(blocks))
