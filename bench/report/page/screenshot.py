"""A picture of the page, for a README or a message: its first screen, as Chromium draws it."""

from __future__ import annotations

import io
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from depthport.exporters.core.errors import StorageError, UnavailableError
from depthport.exporters.core.files.atomic import write_bytes
from depthport.runtimes.host.chromium import INSTALL, browser_command, browser_environment, find_browser, last_words

SIZE = (1280, 1320)
"""Pixels: as wide as the page is laid out for, as high as the answers of two machines."""
_COLOURS = 192
_TIMEOUT_S = 120


def take_picture(page: Path, target: Path, size: tuple[int, int] = SIZE) -> Path:
    """Write the first screen of `page` (an HTML file) to `target` as a paletted PNG; returns `target`.

    Raises:
        UnavailableError: no Chromium is installed, or it gives no picture.
        StorageError: `target` can't be written to.
    """
    browser = find_browser()
    if browser is None:
        raise UnavailableError(f"a picture of the page needs Chromium: {INSTALL}, or leave --picture out")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        command = [*browser_command(browser, Path(folder) / "profile"), "--disable-gpu", f"--screenshot={shot}"]
        # The page draws what comes into view; virtual time waits for it, not for a clock.
        command += [f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=5000", page.resolve().as_uri()]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=browser_environment()
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{browser} gave no picture of the page within {_TIMEOUT_S} s") from None
        if not shot.is_file():
            said = last_words(done.stderr) or f"exit code {done.returncode}"
            raise UnavailableError(f"{browser} gave no picture of the page: {said[:200]}")
        content = _small(shot)
    try:
        write_bytes(target, content)
    except OSError as error:
        raise StorageError(f"{target} can't be written: {error.strerror}") from error
    return target


def _small(shot: Path) -> bytes:
    with Image.open(shot) as image:
        paletted = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    paletted.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
