"""Runs hit by signals: a short form of `python -m tests.support.trials.kills`, which does it some hundred times."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.support.trials.kills import Blow, Trials

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")


@pytest.mark.parametrize(
    "blows",
    [
        [Blow(signal.SIGKILL, "manager"), Blow(signal.SIGKILL, "manager"), Blow(signal.SIGKILL, "worker")],
        [Blow(signal.SIGKILL, "export_worker"), Blow(signal.SIGTERM, "manager")],
        [Blow(signal.SIGHUP, "manager"), Blow(signal.SIGINT, "manager"), Blow(signal.SIGSTOP, "worker")],
    ],
    ids=lambda blows: "-".join(f"{blow.signal.name}-{blow.target}" for blow in blows),
)
def test_nothing_measured_is_lost_and_nothing_lives_on(blows: list[Blow], tmp_path: Path) -> None:
    trials = Trials(tmp_path, seed=len(blows))
    for blow in blows:
        trials.blow(blow, longest_s=3.0)
    trials.finish()
    assert trials.ledger.lost == [] and trials.ledger.orphans == []
