"""The journal survives what a kill, a power cut and a full disk do to a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from depthport.bench.results.journal import Journal
from depthport.bench.results.journal_file import line_of, parse, read_journal, summed
from depthport.bench.results.model import Status
from depthport.bench.results.records import Failed, GroundTruthOutputs, Header, LaunchDone
from depthport.exporters.core.errors import StorageError, UsageError
from tests.support.paths import ROOT


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(5):
            journal.append(LaunchDone(launch=number))
    with Journal(path) as journal:
        assert [e.launch for e in journal.of(LaunchDone)] == [0, 1, 2, 3, 4]


HEADER = Header(plan="p", created="", epoch_s=0.0)


def written(path: Path, count: int) -> bytes:
    """A journal of a header and `count` blocks; its content."""
    with Journal(path) as journal:
        journal.append(HEADER)
        for number in range(count):
            journal.append(Failed(cell=str(number), status=Status.RUN_FAILED, reason="é" * number))
    return path.read_bytes()


def numbers(path: Path) -> list[int]:
    with Journal(path) as journal:
        return [int(e.cell) for e in journal.of(Failed)]


@pytest.mark.parametrize("name", ["../x.npz", "/etc/x.npz", "C:\\\\x.npz", "a/b.npz", "", ".hidden", "x.npz\n"])
def test_a_file_named_elsewhere_is_not_what_was_written(name: str) -> None:
    good = line_of(GroundTruthOutputs(cell="a", scene=0, outputs="outputs-0-1.npz"))
    assert len(parse(good).records) == 1
    with pytest.raises(ValueError, match="regex"):
        line_of(GroundTruthOutputs(cell="a", scene=0, outputs=name))
    body = json.dumps({"kind": "truth", "cell": "a", "scene": 0, "outputs": name}).encode()
    assert parse(good + summed(body)).damaged == 1


@pytest.mark.parametrize("torn", [b'{"kind":"failed","ce', b"\xff\xfe", b"\0" * 4096])
def test_a_torn_tail_is_dropped_and_appending_goes_on(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(written(path, 1) + torn)
    with Journal(path) as journal:
        assert len(journal.records) == 2 and journal.damage is None
        journal.append(Failed(cell="1", status=Status.RUN_FAILED, reason=""))
    assert numbers(path) == [0, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["journal.jsonl"]


def test_every_prefix_of_a_journal_is_readable(tmp_path: Path) -> None:
    content = written(tmp_path / "journal.jsonl", 3)
    for length in range(len(content) + 1):
        found = parse(content[:length])
        assert not found.damaged
        assert [type(e) for e in found.records] == [Header, Failed, Failed, Failed][: len(found.records)]
        assert len(b"".join(found.lines)) <= length


def test_any_damaged_byte_costs_one_entry_is_said_and_the_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    content = written(path, 77)
    for place in range(3, len(content), 211):
        damaged = content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]
        path.write_bytes(damaged)
        with Journal(path) as journal:
            # A newline that is one no more joins two lines; one in the wrong place tears one.
            assert len(journal.records) >= 76
            assert journal.damage is not None and "journal-damaged-1.jsonl" in journal.damage
        assert (tmp_path / "journal-damaged-1.jsonl").read_bytes() == damaged
        assert not parse(path.read_bytes()).damaged
        (tmp_path / "journal-damaged-1.jsonl").unlink()


def test_a_changed_digit_is_damage_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(written(path, 3).replace(b'"cell":"1"', b'"cell":"7"'))
    assert numbers(path) == [0, 2]


@pytest.mark.parametrize(
    "content", [b"my diary\n", b'{"kind":"launch_done","launch":0}\n' * 3, b"[1, 2]\n", b"\0" * 10_000, b"x" * 10_000]
)
def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a depthport journal"):
        Journal(path)
    assert path.read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs are POSIX")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "journal.jsonl")
    with pytest.raises(UsageError, match="is not a file"):
        Journal(tmp_path / "journal.jsonl")


def test_a_line_is_json_for_everyone(tmp_path: Path) -> None:
    line = line_of(LaunchDone(launch=1))
    assert json.loads(line) == {"kind": "launch_done", "launch": 1, "crc32": json.loads(line)["crc32"]}


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        with pytest.raises(ValueError, match="epoch_s"):
            journal.append(Header(plan="", created="", epoch_s=float("nan")))
        journal.append(HEADER)
    assert len(read_journal(tmp_path / "journal.jsonl").records) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """A file-size limit makes the same short write and error that a full disk does."""
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from depthport.bench.results.journal import Journal
        from depthport.bench.results.records import Failed, Header
        from depthport.exporters.core.errors import StorageError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal(Path(sys.argv[1]))
        journal.append(Header(plan="", created="", epoch_s=0.0))
        journal.append(Failed(cell="0", status="run_failed", reason=""))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            journal.append(Failed(cell="1", status="run_failed", reason="x" * 500))
        except StorageError as error:
            print(error)
        """
    )
    path = tmp_path / "journal.jsonl"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.count("\n") == 1 and "can't write to" in done.stdout
    assert numbers(path) == [0]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_kill_loses_no_finished_entry(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from depthport.bench.results.journal import Journal
        from depthport.bench.results.records import Failed, Header
        journal = Journal(Path(sys.argv[1]))
        journal.append(Header(plan="", created="", epoch_s=0.0))
        for number in range(10**9):
            journal.append(Failed(cell=str(number), status="run_failed", reason="x" * 300))
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
    found = numbers(path)
    assert found == list(range(len(found)))
    assert len(found) > acknowledged[-1]


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="can't write to"):
        Journal(tmp_path / "file" / "journal.jsonl")


@pytest.mark.parametrize(
    "body", [b'{"kind":"other"}', b'{"kind":"launch_done","launch":"one"}', b'{"kind":"launch_done","launch":1,"more":2}']
)
def test_a_record_of_another_shape_is_damage_though_its_sum_is_right(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(written(path, 2) + summed(body))
    assert len(parse(path.read_bytes()).records) == 3 and parse(path.read_bytes()).damaged == 1
