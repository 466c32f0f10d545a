"""Blocks that count, and what is kept of the others."""

from __future__ import annotations

from depthport.bench.analysis.samples import calmest, cell_samples, raw_samples
from depthport.bench.results.records import TimedBlock


def block(ms: int, calm: float | None, visit: int = 0, *, host: bool = False) -> TimedBlock:
    times = [ms * 1_000_000]
    return TimedBlock(
        cell="a", launch=0, round=0, visit=visit, calls=1, starts_s=[float(ms)], input=0, outputs_sha256="",
        calm_share=calm, device_ns=None if host else times, host_ns=times if host else None,
    )  # fmt: skip


def test_of_a_block_that_was_run_again_the_calmest_counts_and_all_are_kept() -> None:
    again = [block(30, 0.6), block(21, 0.9), block(20, 0.7), block(50, 0.5, host=True), block(25, None, visit=1)]
    counted = calmest(again)
    assert counted == [again[1], again[3], again[4]]
    samples = cell_samples("a", "device", counted, calm=True)
    assert samples is not None and (samples.steady_ns() / 1e6).tolist() == [21.0, 25.0]
    raw = raw_samples("a", "device", again, [], calm=True)
    assert sorted(raw.ms) == [20.0, 21.0, 25.0, 30.0]
    assert [ms for ms, steady in zip(raw.ms, raw.steady, strict=True) if steady] == [21.0, 25.0]
