"""Installed packages that are not there: their metadata, as pip leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def distribution(site: Path, name: str, version: str, tag: str = "", files: Mapping[str, str] | None = None) -> None:
    """A distribution in the folder `site`.

    Args:
        site: on the import path, or to be put there.
        name, version: its own.
        tag: of its wheel (`cp311-cp311-win_amd64`); empty: it came from no wheel.
        files: texts by path inside `site`, which its record lists.
    """
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files or {}), encoding="utf-8")
    if tag:
        (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n", encoding="utf-8")
    for path, text in (files or {}).items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")
