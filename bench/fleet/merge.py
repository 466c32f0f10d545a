"""Merge of results into one report: every result is checked against the bundle it claims."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from depthport.bench.fleet.bundle import Bundle
from depthport.bench.fleet.work import RESULTS, finished
from depthport.bench.report.write import write_report
from depthport.bench.results.load_results import load_results
from depthport.exporters.core.errors import UsageError


@dataclass(frozen=True)
class Merged:
    """Parts that a fleet's answer was merged from."""

    results: tuple[Path, ...]
    missing: tuple[tuple[str, str], ...]
    """(machine, job) that have no finished result."""
    written: tuple[Path, ...]


def merge_fleet(bundle: Bundle, out: Path) -> Merged:
    """Write the report of all results below `out/MACHINE/JOB` into `out`.

    A result that is not finished is in the report too, as what it is: stopped.

    Raises:
        UsageError: it is missing, or belongs to another bundle (the message says what differs), machine or job.
    """
    found, missing = [], []
    for machine, share in bundle.machines.items():
        for job in share.jobs:
            folder = out / machine / job
            if finished(folder, bundle.ref(machine, job)) is None:
                missing.append((machine, job))
            if bundle.contents.jobs[job].kind == "bench" and (folder / RESULTS).is_file():
                found.append(folder / RESULTS)
    if not found:
        raise UsageError(f"{out} has no results of the bundle: measure first (`depthport fleet run`)")
    loaded = [load_results(path) for path in found]
    for path, file in zip(found, loaded, strict=True):
        named = file.results.bundle
        if named is None or (named.machine, named.job) != (path.parent.parent.name, path.parent.name):
            raise UsageError(f"{path} is not marked as the result of that machine and job: collect it again")
    return Merged(tuple(found), tuple(missing), tuple(write_report(loaded, out)))
