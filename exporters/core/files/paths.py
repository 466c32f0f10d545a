"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from depthport.exporters.core.errors import UsageError


def user_path(path: Path | str) -> Path:
    """The path with a leading `~` or `~user` put in full, which a shell leaves alone in `--out=~/x` and in variables.

    Raises:
        UsageError: there is no such user, or nobody's home is known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{str(path)!r} names the home folder of an unknown user: write the path in full") from None


def is_file(path: Path) -> bool:
    """Return whether the file exists; `Path.is_file` raises for names, as from damaged files, that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113


def user_argument(argument: str) -> str:
    """An argument of the command line with a leading `~` put in full, its value's where it is `--option=~/x`.

    Raises:
        UsageError: as :func:`user_path` does.
    """
    option, _, value = argument.partition("=")
    if argument.startswith("~"):
        return str(user_path(argument))
    return f"{option}={user_path(value)}" if option.startswith("-") and value.startswith("~") else argument
