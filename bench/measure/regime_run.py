"""Runs the regimes other than `burst`: `sustained` (latency over minutes) and `fixed-rate` (deadlines at a frame rate).

One cell at a time, alone on the machine: what is asked is how it holds up, not how it compares. The arithmetic is in
bench/workers/regimes.py and bench/analysis/regime_analysis.py; this only drives workers and journals what they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from depthport.bench.analysis.regime_analysis import summarize_fixed_rate, summarize_sustained
from depthport.bench.environment.telemetry import Telemetry
from depthport.bench.environment.telemetry_summary import summarize_records
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.pool import Timed
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import Protocol
from depthport.bench.plan.regime import Regime
from depthport.bench.results.journal import Journal
from depthport.bench.results.records import Failed, RegimeDone
from depthport.bench.results.regimes import FixedRateSummary, RegimeSummary, SustainedSummary
from depthport.bench.results.sections import Reading
from depthport.bench.workers.live_cell import CellFailed, LiveCell
from depthport.bench.workers.messages import SustainedResult
from depthport.bench.workers.regimes import join

CHUNK_S = 15.0
"""A sustained run is made of chunks of this length with telemetry between them."""


def run_regime(
    regime: Regime, cells: Sequence[Timed], inputs: list[Path], protocol: Protocol, journal: Journal, observer: Observer
) -> None:
    """Measure every cell that the journal does not hold yet."""
    done = {e.cell for e in journal.of(RegimeDone)} | {e.cell for e in journal.of(Failed)}
    todo = [c for c in cells if c.spec.id not in done and not c.delay_share]
    observer.stage(f"{regime.kind}, {regime.seconds / 60:g} min a cell", len(todo))
    for timed in todo:
        observer.step(timed.spec.id)
        live = LiveCell(timed.spec, timed.artifact, inputs, protocol)
        try:
            _measure(regime, live, journal, timed.spec)
        except CellFailed as failure:
            journal.append(failure.record(timed.spec.id))
            observer.warning(f"{timed.spec.id}: {failure.status.value}: {failure.reason}")
        except BaseException:
            live.kill()
            raise
        live.close()
        observer.step(timed.spec.id, 1)


def _measure(regime: Regime, live: LiveCell, journal: Journal, cell: CellSpec) -> None:
    load_s = live.load()
    first_ms = live.first_call()
    calibration = live.calibrate()
    telemetry = Telemetry(gpus=cell.device != "cpu")
    summary: RegimeSummary
    try:
        if regime.kind == "sustained":
            summary, records = _sustained(regime, live, telemetry)
        else:
            summary, records = _fixed_rate(regime, live, telemetry)
    finally:
        telemetry.close()
    journal.append(live.report())
    journal.append(
        RegimeDone(
            cell=cell.id,
            load_s=load_s,
            first_call_ms=first_ms,
            call_ns=calibration.call_ns,
            summary=summary,
            telemetry=summarize_records(records),
        )
    )


def _sustained(regime: Regime, live: LiveCell, telemetry: Telemetry) -> tuple[SustainedSummary, list[Reading]]:
    parts: list[SustainedResult] = []
    records = []
    samples = 0
    left = regime.seconds
    while left > 0:
        chunk = min(CHUNK_S, left)
        token = telemetry.before([])
        part = live.sustained(chunk, samples)
        records.append(telemetry.after(token, live.pid))
        parts.append(part)
        samples += len(part.sample_ns)
        left -= max(chunk, sum(part.sample_ns) / 1e9)
    return summarize_sustained(join(parts)), records


def _fixed_rate(regime: Regime, live: LiveCell, telemetry: Telemetry) -> tuple[FixedRateSummary, list[Reading]]:
    token = telemetry.before([])
    result = live.fixed_rate(regime.rate_hz or 0.0, regime.seconds)
    record = telemetry.after(token, live.pid)
    return summarize_fixed_rate(result), [record]
