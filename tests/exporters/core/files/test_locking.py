"""Locks that leave no file behind still keep processes apart."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.exporters.core.test_store import script


def test_exports_at_once_keep_apart_although_locks_are_removed(tmp_path: Path) -> None:
    """Six processes, thirty turns each: never two within the lock."""
    body = """
from depthport.exporters.core.files.locking import exclusive
for _ in range(30):
    with exclusive(root / "locks" / "one.lock"):
        os.close(os.open(root / "inside", os.O_CREAT | os.O_EXCL))
        (root / "inside").unlink()
"""
    command = script(tmp_path, body)
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    assert [process.communicate()[1] for process in processes] == [""] * 6
    assert list((tmp_path / "locks").iterdir()) == []
