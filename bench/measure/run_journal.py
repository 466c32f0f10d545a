"""The journal of a run: resumed, put aside, or refused."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from depthport.bench.results.journal import Journal
from depthport.bench.results.records import (
    ArtifactReady,
    Failed,
    Finished,
    GroundTruthOutputs,
    Header,
    Launch,
    RegimeDone,
    SessionReport,
    TimedBlock,
    VisitDone,
)
from depthport.bench.workers.passing import OUT_OF_MEMORY
from depthport.exporters.core.errors import UsageError

RESULTS = "results.json"
_KEPT_TWICE = 2
"""The header and the end are written twice: no single damaged line may make a run forget what it is, or that it ended."""
_MOST_OUT_OF_MEMORY = 2
"""A cell that ran out of memory this often does not fit; whatever else was short passes in the end."""
_WORTH_KEEPING = (ArtifactReady, Launch, TimedBlock, VisitDone, SessionReport, RegimeDone, GroundTruthOutputs)


def open_journal(plan: RunPlan, out: Path, observer: Observer, *, overwrite: bool = False) -> Journal:
    """Open the journal of this plan in `out`.

    An unfinished one of this plan is resumed, a finished one is put aside with its results.

    Raises:
        UsageError: `out` holds another configuration's run and `overwrite` is False, or a file that is not a journal.
        StorageError: `out` can't be written to, or the disk is full.
    """
    path = out / JOURNAL_NAME
    refused = "choose another --out, or give --overwrite to put it aside"
    if not path.exists() and (out / RESULTS).exists() and not overwrite:
        raise UsageError(f"{out} holds the {RESULTS} of another run: {refused}")
    journal = Journal(path)
    headers, finished = journal.of(Header), journal.of(Finished)
    own = bool(headers) and headers[0].plan == plan.fingerprint()
    begun = bool(journal.records) or journal.damage is not None
    if begun and not own and not overwrite:
        journal.close()
        state = "a finished" if finished else "an unfinished"
        raise UsageError(f"{out} holds {state} run with another configuration, versions or source: {refused}")
    if journal.damage:
        observer.warning(journal.damage)
    if finished or (overwrite and (begun or (out / RESULTS).exists()) and not own):
        journal.close()
        put_aside(out)
        journal = Journal(path)
    if journal.of(Header):
        _try_again(journal, observer)
    else:
        created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        header = Header(plan=plan.fingerprint(), created=created, epoch_s=time.time())
        for _ in range(_KEPT_TWICE):
            journal.append(header)
    return journal


def end_journal(journal: Journal) -> None:
    """Note that the run is finished: the same command begins a new one."""
    for _ in range(_KEPT_TWICE):
        journal.append(Finished())


def put_aside(out: Path) -> None:
    """Rename the journal and the results in `out` before a new run begins there."""
    # The journal last: results without one would be taken for another run's.
    for name in (RESULTS, JOURNAL_NAME):
        path = out / name
        if path.exists():
            path.replace(path.with_name(f"{path.stem}-previous{path.suffix}"))


def passing_failures(journal: Journal) -> list[Failed]:
    """The failures that the same command will try again: the machine was short of something for a while."""
    failures = journal.of(Failed)
    before = [record for record in journal.forgotten if isinstance(record, Failed)]
    memory = Counter(e.cell for e in (*before, *failures) if e.passing == OUT_OF_MEMORY)
    return [e for e in failures if e.passing and (e.passing != OUT_OF_MEMORY or memory[e.cell] < _MOST_OUT_OF_MEMORY)]


def _try_again(journal: Journal, observer: Observer) -> None:
    """Forget, for this session, the failures that may have passed; the file keeps them."""
    for failure in passing_failures(journal):
        observer.note(f"{failure.cell}: tried again: {failure.passing}")
        journal.forget(failure)


def measured(journal: Journal) -> bool:
    """Return whether a run has anything to keep."""
    return any(isinstance(record, _WORTH_KEEPING) for record in journal.records)


def discard_run(journal: Journal, work: Path) -> None:
    """Remove the files of a run that was refused before it measured anything."""
    journal.close()
    journal.path.unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)
