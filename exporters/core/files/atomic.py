"""Write files so that a reader, or a kill at any moment, never sees half of one; read what others may have damaged."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from depthport.exporters.core.errors import DepthportError, ExportError, StorageError, UsageError
from depthport.exporters.core.json_types import Json

_STORAGE_ERRNOS = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EACCES: "permission denied: choose a folder you may write to",
    errno.EPERM: "permission denied: choose a folder you may write to",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another folder",
    errno.EEXIST: "a file of that name is in the way: choose another folder",
    errno.EISDIR: "a folder of that name is in the way: choose another name",
    errno.ELOOP: "the path is a circle of links: choose another folder",
    errno.EIO: "the disk reports an error: choose another one",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.EFBIG: "the file system allows no file that large: choose another folder",
}


# How writers that are not Python's say it: Rust's `std::io::Error` (safetensors) gives the number, C++'s iostreams
# the text of `strerror`, numpy's `tofile` only how far it came.
_RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_NUMPY_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
_SHORT_WRITE_ADVICE = "the disk is full, or a quota or file size limit is reached: free some space"
_TOLD_BY_TEXT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write below `path` into one line, whichever library met them.

    Raises:
        StorageError: the folder can't be written to or the disk is full.
    """
    try:
        yield
    except DepthportError as error:
        # An exporter may have wrapped a writer's error; every other typed error already says what is wrong.
        advice = _advice(error.__cause__) if isinstance(error, ExportError) else None
        if advice is None:
            raise
        raise StorageError(f"can't write to {path}: {advice}") from error
    except Exception as error:
        advice = _advice(error)
        if advice is None:
            raise
        raise StorageError(f"can't write to {getattr(error, 'filename', None) or path}: {advice}") from error


def _advice(error: BaseException | None) -> str | None:
    """Return advice on `error` if it is a refusal to write, else None."""
    if error is None:
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return _STORAGE_ERRNOS.get(error.errno)
    text = str(error)
    if match := _RUST_OS_ERROR.search(text):
        return _STORAGE_ERRNOS.get(int(match[1]))
    if _NUMPY_SHORT_WRITE.search(text):
        return _SHORT_WRITE_ADVICE
    return next((_STORAGE_ERRNOS[number] for number in _TOLD_BY_TEXT if os.strerror(number) in text), None)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: temporary file beside it, fsync, rename."""
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """:func:`write_bytes` for files that belong together: where one finds no room, none is replaced."""
    temporaries = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    with ExitStack() as undo:
        for path, temporary in temporaries.items():
            undo.enter_context(storage_errors(path.parent))
            undo.callback(temporary.unlink, missing_ok=True)
            with temporary.open("wb") as stream:
                stream.write(contents[path])
                stream.flush()
                os.fsync(stream.fileno())
        for path, temporary in temporaries.items():
            temporary.replace(path)
            sync_directory(path.parent)


def copy_whole(source: Path, path: Path) -> None:
    """Replace `path` by a copy of a file or folder, which appears when it is complete.

    Raises:
        StorageError: it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if source.is_dir():
                shutil.copytree(source, temporary)
                if path.exists():
                    shutil.rmtree(path)
            else:
                shutil.copyfile(source, temporary)
                sync_file(temporary)
            temporary.replace(path)
            sync_directory(path.parent)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """:func:`write_bytes` for UTF-8 text."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, data: object) -> None:
    """:func:`write_bytes` for strict JSON (a NaN is a bug of the caller, and raises ValueError)."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


MAX_JSON_BYTES = 1 << 30
"""Largest JSON file that is read where no smaller limit is given: 10^7 samples fit."""


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a regular file of at most `largest` bytes: no pipe that never ends, no device.

    Raises:
        OSError: it can't be read.
        ValueError: it is larger.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    with path.open("rb") as stream:
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than {largest >> 10} KiB")
    return content


def read_json(path: Path, largest: int = MAX_JSON_BYTES) -> Json:
    """The content of a JSON file in UTF-8 or, with a byte order mark, UTF-16: the one reader of JSON that people give.

    `NaN` and `Infinity`, which Python's own writer emits though JSON has neither, are read as null: figures that nobody
    measured.

    Raises:
        OSError: it can't be read.
        ValueError: it has over `largest` bytes, is not valid JSON, or is nested too deeply to be parsed; in one line.
    """
    content = read_bytes(path, largest)
    try:
        return json.loads(content, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not text in UTF-8") from None


def sync_file(path: Path) -> None:
    """Have what was written to a file, by whatever library, reach the disk; a no-op on Windows."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shared_like_its_folder(folder: Path) -> None:
    """Give everything below `folder` the permissions of `folder` itself, files without the right to execute.

    Some writers make their files for their user alone (safetensors: mode 0600), whatever the umask says.
    """
    if os.name != "posix":
        return
    mode = folder.stat().st_mode & 0o7777
    for path in folder.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a power cut; a no-op where directories can't be opened (Windows)."""
    sync_file(path)


def check_folder(folder: Path) -> Path:
    """Return the existing part of a folder that need not exist yet: itself or the nearest one above it.

    Raises:
        StorageError: it is something else, or can't be there: below a file, a link to nowhere, too long a name.
    """
    for path in (folder.absolute(), *folder.absolute().parents):
        try:
            path.lstat()
            if path.is_dir():
                return path
            what = "a link that leads nowhere" if path.is_symlink() and not path.exists() else "not a folder"
            raise StorageError(f"can't write to {folder}: {path} is {what}: choose another folder")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise StorageError(f"can't write to {folder}: {error.strerror}: choose another folder") from error
    raise StorageError(f"can't write to {folder}: its drive does not exist: choose another folder")


def check_output_folder(folder: Path, files: Iterable[str] = ()) -> None:
    """Raise where `folder`, which need not exist yet, can't take `files`; makes and leaves nothing.

    Raises:
        StorageError: it can't be written to.
        UsageError: a folder is where a file is to go.
    """
    existing = check_folder(folder)
    try:
        # What may be written is known for sure only by writing: access rights say little of mounts, quotas and /proc.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise StorageError(f"can't write to {folder}: {error.strerror or error}: choose another folder") from error
    for name in files:
        if (folder / name).is_dir():
            raise UsageError(f"{folder / name} is a folder where a file must be written: move it away")
