"""Depth and error pictures for a report: found beside the results, re-encoded, within a budget.

A report is made to be shown to others. Depth and error are its subject and always in it; the photographs that went in
are embedded where they are the shipped ones, a user's own only when asked for (`report --embed-images`).

A picture's path comes from a file that is not trusted. It must be relative, stay inside the results' folder
after links are resolved, and decode as an image of bounded size; what is embedded is our own encoding of its
pixels, never its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from PIL import Image

from depthport.bench.inputs.photographs import SINGLE
from depthport.bench.report.model.merge import Run
from depthport.exporters.core.files.atomic import storage_errors, write_bytes

LARGEST = (1080, 720)
"""Pixels of an embedded picture at most: sheets of several views are wide."""
MAX_PIXELS = 40_000_000
MAX_FILE_BYTES = 64 << 20
KINDS = ("depth", "error")
COPIES = "report-pictures"


def shipped_inputs(run: Run) -> bool:
    """Return whether a run was fed with shipped photographs alone; all that is not clearly so counts as its user's own."""
    name, known = run.results.inputs.get("name", ""), {"motorcycle", *SINGLE}
    return all(part.split(" mirrored")[0].split(",")[0] in known for part in name.split(" + "))


def picture_path(run: Run, name: object) -> Path | None:
    """The file of a picture that a run's results name, or None where none may be read."""
    folder = run.folder
    if not isinstance(name, str) or not name or folder is None:
        return None
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or ":" in name:
        return None
    try:
        root = _resolved(folder.absolute())
        path = (root / relative).resolve(strict=True)
        good = path.is_relative_to(root) and path.is_file() and path.stat().st_size <= MAX_FILE_BYTES
    except (OSError, RuntimeError):  # missing, a loop of links, a name the system refuses
        return None
    return path if good else None


@lru_cache
def _resolved(folder: Path) -> Path:
    """The folder of a run's results, asked for with each of its pictures.

    Raises:
        OSError: it does not exist.
    """
    return folder.resolve(strict=True)


def encode(path: Path) -> bytes | None:
    """The picture as WebP of at most :data:`LARGEST` pixels; None for what is not an image."""
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            small = image.convert("RGB")
            small.thumbnail(LARGEST, Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            small.save(buffer, "WEBP", quality=80, method=4)
            return buffer.getvalue()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's ways to say "not an image"
        return None


def publish(run: Run, name: object, folder: Path) -> str | None:
    """The picture's address relative to `folder`, for Markdown; copied below it (re-encoded) if it lies elsewhere.

    Raises:
        StorageError: `folder` can't be written to.
    """
    path = picture_path(run, name)
    if path is None:
        return None
    root = folder.resolve()
    if path.is_relative_to(root):
        return quote(path.relative_to(root).as_posix())
    content = encode(path)
    if content is None:
        return None
    copy = f"{hashlib.sha256(content).hexdigest()[:16]}.webp"
    target = root / COPIES / copy
    with storage_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        write_bytes(target, content)
    return f"{COPIES}/{copy}"


@dataclass
class Album:
    """Pictures as data addresses, each once, until the budget (bytes on the page) is spent."""

    budget_bytes: float
    urls: list[str] = field(default_factory=list)
    left_out: int = 0
    _known: dict[bytes, int] = field(default_factory=dict)
    _paths: dict[Path, int | None] = field(default_factory=dict)
    spent: int = 0

    def add(self, run: Run, name: object) -> int | None:
        """Index of a run's picture, or None where it is missing or no longer fits."""
        path = picture_path(run, name)
        if path is None:
            return None
        if path not in self._paths:
            self._paths[path] = self._embed(path)
        return self._paths[path]

    def _embed(self, path: Path) -> int | None:
        content = encode(path)
        if content is None or content in self._known:
            return None if content is None else self._known[content]
        url = "data:image/webp;base64," + base64.b64encode(content).decode("ascii")
        if self.spent + len(url) > self.budget_bytes:
            self.left_out += 1
            return None
        self.spent += len(url)
        self._known[content] = len(self.urls)
        self.urls.append(url)
        return self._known[content]
