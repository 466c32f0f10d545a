"""An installed Chromium or Chrome, and how it is started to serve a program instead of a person."""

from __future__ import annotations

import os
import shutil
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


def find_browser() -> str | None:
    """Path of an installed Chromium or Chrome."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def browser_command(browser: str, profile: Path) -> list[str]:
    """The command that starts it headless, with a profile of its own; flags and an address may follow."""
    # Chromium's sandbox does not start as root, which containers are.
    unconfined = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    return [browser, *ARGUMENTS, *unconfined, f"--user-data-dir={profile}"]
