"""An installed Chromium or Chrome, and how it is started to serve a program instead of a person."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
INSTALL = "apt-get install chromium (or install Chrome)"
ARGUMENTS = (
    *("--headless", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
)

_SOCKET = "org.chromium.Chromium.XXXXXX/SingletonSocket"
"""Pattern of Chromium's entries in the temporary folder."""
_LONGEST_SOCKET = 103
"""Bytes of a Unix socket's path: 103 on macOS, 107 on Linux. Chromium ends where its own is longer."""


def find_browser() -> str | None:
    """Path of an installed Chromium or Chrome."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def browser_command(browser: str, profile: Path) -> list[str]:
    """The command that starts it headless, with a profile of its own; flags and an address may follow."""
    # Chromium's sandbox does not start as root, which containers are.
    unconfined = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    return [browser, *ARGUMENTS, *unconfined, f"--user-data-dir={profile}"]


def browser_environment() -> dict[str, str]:
    """Our environment, with a temporary folder whose path leaves room for Chromium's socket."""
    environment, folder = dict(os.environ), Path(tempfile.gettempdir())
    if os.name == "posix" and len(os.fsencode(folder / _SOCKET)) > _LONGEST_SOCKET:
        environment["TMPDIR"] = "/tmp"
    return environment


def last_words(log: str) -> str:
    """The line of Chromium's log that says why it ended: its last fatal one, else its last; empty where there is none."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if ":FATAL:" in line), lines[-1] if lines else "")
