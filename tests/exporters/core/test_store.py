"""The store under everything that happens to a disk: kills, races, damage, a full disk, no permission."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from depthport.exporters.core.artifact import MANIFEST, Manifest
from depthport.exporters.core.errors import ExportError, StorageError
from depthport.exporters.core.store import ArtifactStore
from tests.support.manifests import manifest

CONTENT = b"weights" * 100


def build(directory: Path) -> Manifest:
    (directory / "nested").mkdir()
    (directory / "model.bin").write_bytes(CONTENT)
    (directory / "nested" / "more.bin").write_bytes(b"more")
    return manifest(extra={"built": True})


def unreachable(directory: Path) -> Manifest:
    raise AssertionError("it was built again")


def visible(root: Path) -> list[str]:
    """What a user would take for an artifact."""
    return sorted(p.name for p in root.iterdir() if not p.name.startswith("."))


def script(tmp_path: Path, body: str) -> list[str]:
    """A process that has `root`, `manifest`, `ArtifactStore` and runs `body`."""
    header = (
        "import sys, time, os\nfrom pathlib import Path\nfrom depthport.exporters.core.store import ArtifactStore\n"
        "from depthport.exporters.core.errors import StorageError\nfrom tests.support.manifests import manifest\n"
        f"root = Path({str(tmp_path)!r})\n"
    )
    return [sys.executable, "-c", header + body]


def test_built_then_cached(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    first = store.get_or_build(manifest(), build)
    assert first.origin == "built"
    assert [f.path for f in first.artifact.manifest.files] == ["model.bin", "nested/more.bin"]
    assert first.artifact.manifest.extra == {"built": True}
    second = store.get_or_build(manifest(), unreachable)
    assert second.origin == "cached"
    assert second.artifact == first.artifact
    assert visible(tmp_path) == [first.artifact.path.name]
    assert first.artifact.path.name.startswith("da3-small-test-fp32-1x2x70x98-")
    assert list(store.artifacts()) == [first.artifact]


def test_another_key_is_another_artifact(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.get_or_build(manifest(), build)
    assert store.get_or_build(manifest(key="f" * 64), build).origin == "built"
    assert len(visible(tmp_path)) == 2


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("model.bin", flip),
        ("model.bin", lambda path: path.write_bytes(CONTENT[:-1])),
        ("model.bin", Path.unlink),
        (MANIFEST, lambda path: path.write_text("{")),
        (MANIFEST, Path.unlink),
        (MANIFEST, lambda path: path.write_text(path.read_text().replace(manifest().key, "e" * 64))),
    ],
)
def test_damage_is_rebuilt_and_said(tmp_path: Path, file: str, spoil: Callable[[Path], object]) -> None:
    store = ArtifactStore(tmp_path)
    folder = store.get_or_build(manifest(), build).artifact.path
    spoil(folder / file)
    again = store.get_or_build(manifest(), build)
    assert again.origin == "rebuilt"
    assert again.damage
    again.artifact.verify()
    assert store.get_or_build(manifest(), unreachable).origin == "cached"


@pytest.mark.parametrize("error", [ExportError("no"), KeyboardInterrupt(), MemoryError()])
def test_a_failed_build_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(directory: Path) -> Manifest:
        (directory / "model.bin").write_bytes(CONTENT)
        raise error

    store = ArtifactStore(tmp_path)
    with pytest.raises(type(error)):
        store.get_or_build(manifest(), fail)
    assert visible(tmp_path) == []
    assert not list(tmp_path.glob(".partial-*"))
    assert store.get_or_build(manifest(), build).origin == "built"


def test_a_failed_rebuild_keeps_the_damaged_artifact_out_of_the_way(tmp_path: Path) -> None:
    """The damaged folder stays until its successor is complete: no moment without either."""
    store = ArtifactStore(tmp_path)
    folder = store.get_or_build(manifest(), build).artifact.path
    flip(folder / "model.bin")
    with pytest.raises(ExportError):
        store.get_or_build(manifest(), lambda directory: (_ for _ in ()).throw(ExportError("no")))
    assert store.get_or_build(manifest(), build).origin == "rebuilt"


def test_a_killed_export_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    body = """
def build(directory):
    (directory / "model.bin").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)
ArtifactStore(root).get_or_build(manifest(), build)
"""
    with subprocess.Popen(script(tmp_path, body), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert visible(tmp_path) == []
    store = ArtifactStore(tmp_path)
    assert list(store.artifacts()) == []
    # Another artifact's export clears away what is left; the same one's just succeeds.
    assert list(tmp_path.glob(".partial-*"))
    store.get_or_build(manifest(key="f" * 64), build)
    assert not list(tmp_path.glob(".partial-*"))
    assert store.get_or_build(manifest(), build).origin == "built"


def test_the_folder_of_a_running_export_is_not_swept(tmp_path: Path) -> None:
    body = """
def build(directory):
    (directory / "model.bin").write_bytes(b"half")
    print("writing", flush=True)
    sys.stdin.readline()
    (directory / "more.bin").write_bytes(b"done")
    return manifest()
print(ArtifactStore(root).get_or_build(manifest(), build).origin)
"""
    with subprocess.Popen(script(tmp_path, body), stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        ArtifactStore(tmp_path).get_or_build(manifest(key="f" * 64), build)
        assert process.communicate("go\n")[0] == "built\n"
    assert process.returncode == 0


def test_two_processes_one_builds_both_succeed(tmp_path: Path) -> None:
    body = """
def build(directory):
    with (root / ".builds").open("a") as log:
        log.write("x")
    (directory / "model.bin").write_bytes(b"x" * 1000)
    time.sleep(0.5)
    return manifest()
print(ArtifactStore(root / "store").get_or_build(manifest(), build).origin)
"""
    command = script(tmp_path, body)
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    origins = sorted(process.communicate()[0].strip() for process in processes)
    assert origins == ["built", "cached"]
    assert (tmp_path / ".builds").read_text() == "x"


WRITERS = {
    "python": "(directory / 'model.bin').write_bytes(b'x' * SIZE)",
    "rust": "import numpy; from safetensors.numpy import save_file\n"
    "    save_file({'w': numpy.zeros(SIZE, numpy.uint8)}, directory / 'model.safetensors')",
    "onnx": "import onnx_ir as ir, numpy; from depthport.exporters.onnx.exporter import save\n"
    "    big = ir.tensor(numpy.zeros(SIZE // 4, numpy.float32), name='w')\n"
    "    w = ir.Value(name='w', const_value=big, shape=ir.Shape(big.shape), type=ir.TensorType(ir.DataType.FLOAT))\n"
    "    graph = ir.Graph([], [], nodes=[], initializers=[w], opset_imports={'': 18})\n"
    "    save(ir.Model(graph, ir_version=10), directory / 'model.onnx', data='model.onnx.data')",
}
FULL_DISK = """
SIZE = 4 << 20
def build(directory):
    {writer}
    return manifest()
try:
    ArtifactStore(root).get_or_build(manifest(), build)
except StorageError as error:
    print(error)
"""


def run_out_of_space(root: Path, writer: str, limit: bool) -> str:
    if writer != "python":
        pytest.importorskip("onnx_ir" if writer == "onnx" else "safetensors")
    command = script(root, FULL_DISK.format(writer=WRITERS[writer]))

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=small_files if limit else None)
    assert visible(root) == []
    assert not list(root.glob(".partial-*"))
    return done.stdout


@contextmanager
def tiny_disk(folder: Path, *options: str) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(("size=1m", *options)), "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_line_and_nothing_half_written(tmp_path: Path, writer: str) -> None:
    with tiny_disk(tmp_path):
        (line,) = run_out_of_space(tmp_path, writer, limit=False).splitlines()
    assert line.startswith("can't write to")
    assert re.search(r"the disk is full(, or .*)?: free some space$", line)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_size_limit_is_one_line_and_nothing_half_written(tmp_path: Path, writer: str) -> None:
    (line,) = run_out_of_space(tmp_path, writer, limit=True).splitlines()
    assert re.search(r"the file system allows no file that large: |a quota or file size limit is reached: ", line)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match=r"can.t write to .*choose another folder"):
            ArtifactStore(root).get_or_build(manifest(), unreachable)


def test_a_read_only_disk(tmp_path: Path) -> None:
    with tiny_disk(tmp_path, "ro"), pytest.raises(StorageError, match="read-only: choose another folder"):
        ArtifactStore(tmp_path / "store").get_or_build(manifest(), unreachable)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission denied: choose a folder you may write to"):
        ArtifactStore(tmp_path / "store").get_or_build(manifest(), unreachable)


def test_errors_that_are_not_about_storage_pass_through(tmp_path: Path) -> None:
    def fail(directory: Path) -> Manifest:
        raise ZeroDivisionError("a bug keeps its type")

    with pytest.raises(ZeroDivisionError):
        ArtifactStore(tmp_path).get_or_build(manifest(), fail)
