"""The journal survives what a kill, a power cut and a full disk do to a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from depthport.bench.results.journal import Journal, read_entries
from depthport.exporters.core.errors import StorageError
from tests.support.paths import ROOT


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(5):
            journal.append("block", {"number": number})
    with Journal(path) as journal:
        assert [e["number"] for e in journal.of_kind("block")] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("torn", [b'{"kind": "block", "numb', b"\xff\xfe\n", b"[1, 2]\n", b'{"no": "kind"}\n'])
def test_a_torn_tail_is_dropped_and_appending_goes_on(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append("block", {"number": 0})
    with path.open("ab") as stream:
        stream.write(torn)
    with Journal(path) as journal:
        assert len(journal.entries) == 1
        journal.append("block", {"number": 1})
    assert [e["number"] for e in read_entries(path)[0]] == [0, 1]


def test_every_prefix_of_a_journal_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(3):
            journal.append("block", {"number": number, "text": "é" * number})
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        entries, intact = read_entries(path)
        assert intact <= length
        assert [e["number"] for e in entries] == list(range(len(entries)))


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        with pytest.raises(ValueError, match="Out of range"):
            journal.append("block", {"ms": float("nan")})
        journal.append("block", {"ms": 1.0})
    assert len(read_entries(tmp_path / "journal.jsonl")[0]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """A file-size limit makes the same short write and error that a full disk does."""
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from depthport.bench.results.journal import Journal
        from depthport.exporters.core.errors import StorageError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal(Path(sys.argv[1]))
        journal.append("block", {"number": 0})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            journal.append("block", {"text": "x" * 500})
        except StorageError as error:
            print(error)
        """
    )
    path = tmp_path / "journal.jsonl"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.count("\n") == 1 and "can't write to" in done.stdout
    assert [e["number"] for e in read_entries(path)[0]] == [0]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_kill_loses_no_finished_entry(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from depthport.bench.results.journal import Journal
        journal = Journal(Path(sys.argv[1]))
        for number in range(10**9):
            journal.append("block", {"number": number, "text": "x" * 300})
            print(number, flush=True)
        """
    )
    path = tmp_path / "journal.jsonl"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout]
    process.wait()
    with Journal(path) as journal:
        numbers = [e["number"] for e in journal.entries]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > acknowledged[-1]


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="can't write to"):
        Journal(tmp_path / "file" / "journal.jsonl")
