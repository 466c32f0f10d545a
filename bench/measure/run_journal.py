"""The journal of a run: gone on with, put aside, or refused."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

from depthport.bench.measure.plan import Plan
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from depthport.bench.results.journal import Journal
from depthport.exporters.core.errors import UsageError


def open_journal(plan: Plan, out: Path) -> Journal:
    """The journal of this plan in `out`: a finished one is put aside, an unfinished one of this plan goes on."""
    path, fingerprint = out / JOURNAL_NAME, plan.fingerprint()
    journal = Journal(path)
    headers, finished = journal.of_kind("header"), journal.of_kind("finished")
    if headers and not finished and headers[0]["plan"] != fingerprint:
        journal.close()
        raise UsageError(
            f"{out} holds an unfinished run of another configuration, or of other versions or source: give the same"
            f" command with the same packages to finish it, choose another --out, or delete {path} to drop it"
        )
    if headers and finished:
        journal.close()
        path.replace(out / "journal-previous.jsonl")
        journal = Journal(path)
    if not journal.of_kind("header"):
        journal.append(
            "header",
            {
                "plan": fingerprint,
                "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "epoch_s": time.time(),
            },
        )
    return journal
