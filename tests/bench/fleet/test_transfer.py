"""Files by content hash: what is held is not sent again, what came is what was sent, no name leads out of a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tomli", reason="needs the extra fleet")

from depthport.bench.fleet import remote
from depthport.bench.fleet.bundle import Bundle, load_bundle, verify_files
from depthport.bench.fleet.transfer import TransferError, fetch_job, send_bundle
from tests.support.fleet import describe, frozen

JOB = "da3-small-1x1x28x42"


class There:
    """A machine that is this process, with a folder of its own; `changed` replaces what a function answers."""

    def __init__(self, changed: dict[Callable[..., Any], Any] | None = None) -> None:
        self.calls: list[str] = []
        self.changed = changed or {}

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        self.calls.append(function.__name__)
        return self.changed[function] if function in self.changed else function(*args)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("DEPTHPORT_CACHE", str(tmp_path / "there"))
    return frozen(describe(tmp_path, ["a"]), tmp_path)


@pytest.fixture
def left(bundle: Bundle) -> Path:
    """What a job left on the machine."""
    folder = remote.job_folder(bundle.sha256, "a", JOB)
    (folder / "pictures").mkdir(parents=True)
    (folder / "results.json").write_text("{}")
    (folder / "pictures" / "depth.png").write_bytes(bytes(range(256)) * 40)
    (folder / "work").mkdir()
    (folder / "work" / "input-0.npz").write_bytes(b"big")
    (folder / "journal.jsonl").write_text("{}")
    return folder


def test_a_bundle_is_sent_once(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CHUNK_BYTES", 50)
    there = There()
    send_bundle(there, bundle, tmp_path / "bundle")
    assert there.calls.count("put") > 1
    folder = remote.bundle_folder(bundle.sha256)
    assert load_bundle(folder) == bundle
    verify_files(bundle, folder)
    again = There()
    send_bundle(again, bundle, tmp_path / "bundle")
    assert again.calls == ["missing", "unpack"]


def test_what_comes_damaged_is_not_kept(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="arrived damaged"):
        remote.put("0" * 64, 0, b"x", True)
    assert not list((remote.root() / "blobs").iterdir())


def test_a_job_comes_whole_and_without_what_its_run_needs_to_go_on(
    bundle: Bundle, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "CHUNK_BYTES", 1000)
    out = tmp_path / "here"
    there = There()
    assert fetch_job(there, bundle, "a", JOB, out)
    found = {path.relative_to(out / "a" / JOB).as_posix() for path in (out / "a").rglob("*") if path.is_file()}
    assert found == {"results.json", "pictures/depth.png"}
    assert (out / "a" / JOB / "pictures" / "depth.png").read_bytes() == bytes(range(256)) * 40
    (left / "results.json").write_text('{"new": 1}')
    again = There()
    assert fetch_job(again, bundle, "a", JOB, out)
    assert again.calls.count("get") == 1, "the picture was here already"
    assert not fetch_job(There({remote.results_of: []}), bundle, "a", JOB, out)


@pytest.mark.parametrize("name", ["../../../escaped", "/escaped", "a/../../escaped", "C:escaped"])
def test_no_name_leads_out(bundle: Bundle, tmp_path: Path, name: str) -> None:
    there = There({remote.results_of: [(name, 1, "0" * 64)], remote.get: b"x"})
    with pytest.raises(TransferError, match="offers unexpected files"):
        fetch_job(there, bundle, "a", JOB, tmp_path / "here")
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("data", [b"", b"other"])
def test_what_is_not_what_was_announced_is_not_kept(bundle: Bundle, left: Path, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(TransferError, match="arrived damaged"):
        fetch_job(There({remote.get: data}), bundle, "a", JOB, tmp_path / "here")
    assert not (tmp_path / "here" / "a" / JOB).exists()


def test_too_much_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    there = There({remote.results_of: [("big", 1 << 40, "0" * 64)]})
    with pytest.raises(TransferError, match="offers unexpected files"):
        fetch_job(there, bundle, "a", JOB, tmp_path / "here")
