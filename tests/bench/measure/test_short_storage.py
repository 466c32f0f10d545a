"""Storage that runs short or is another's: a short form of `python -m tests.support.trials.short_storage`."""

from __future__ import annotations

import os
import random
import shutil
import sys

import pytest

from tests.support.trials.short_storage import KINDS, attempt

_TOOLS = {"full": ("mount",), "quota": ("mount", "mkfs.btrfs", "btrfs"), "read-only": ("mount",), "foreign": ()}


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounts and gives away: Linux, root")
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_measured_is_lost(kind: str) -> None:
    for tool in ("setpriv", *_TOOLS[kind]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here")
    _, lost = attempt(kind, random.Random(1))
    assert lost == []
