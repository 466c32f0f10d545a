"""Typed errors, shared by the whole package.

Every error a user can cause or meet derives from :class:`DepthportError`. Its text is one line that says what is
wrong *and what to do*; the command line prints it and exits with :attr:`DepthportError.exit_code`. Anything else that
escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import re

from depthport.exporters.core.text import clean_text

_LONGEST_MESSAGE = 1000


class DepthportError(Exception):
    """Base of all errors with a message meant for the user."""

    exit_code: int = 1

    def __str__(self) -> str:
        """One printable line, whatever names of files and words of libraries it repeats."""
        return tidy(super().__str__(), _LONGEST_MESSAGE)


class UsageError(DepthportError):
    """The request itself is wrong: an unknown name, an impossible shape, a file that is not what it should be."""

    exit_code = 2


class WeightsError(UsageError):
    """A checkpoint is missing, truncated, of another model, or not in the Hugging Face layout."""


class InputError(UsageError):
    """An image, pose or intrinsic given as input can't be used."""


class StorageError(UsageError):
    """The folder to write to is unwritable or its disk is full."""


class UnavailableError(DepthportError):
    """A runtime, exporter or device is not present here; the message holds the line that installs it."""

    exit_code = 2


class UnsupportedError(DepthportError):
    """The combination is valid to ask for but this exporter or runtime does not have it (a precision, a target)."""

    exit_code = 2


class ExportError(DepthportError):
    """The exporter ran and failed, or what it wrote did not pass its own check."""


class ArtifactError(DepthportError):
    """An artifact on disk is damaged, of another schema, or not the one its manifest describes."""

    exit_code = 2


class LoadError(DepthportError):
    """A runtime refused to load an artifact."""

    exit_code = 2


class RunError(DepthportError):
    """A loaded session failed to run or gave outputs of another name, shape or dtype than its manifest promises."""


class PlacementError(RunError):
    """Part of the work ran on another device than asked; never a footnote, always a failure."""


# An apostrophe is no quote: what opens one stands behind no letter, what closes one before none.
_QUOTED = re.compile(r"(?<!\w)'([^']{81,})'(?!\w)|(?<!\w)\"([^\"]{81,})\"(?!\w)")
_WORD = re.compile(r"\S{161,}")
_LONGEST_LINE = 300


def tidy(text: str, limit: int = _LONGEST_LINE) -> str:
    """A message as one line of printable characters, at most `limit` long.

    Names come from files and command lines and may be anything: what stands in quotes is cut to 80 characters, a word (a
    path, mostly) to 160, and where the line is still too long its middle goes, since it begins with what is wrong and
    ends with what to do.
    """
    short = _QUOTED.sub(lambda found: _cut(found[0], 82), " ".join(text.split()))
    short = _WORD.sub(lambda found: _cut(found[0], 160), short)
    return _cut(clean_text(short, 1 << 16), limit)


def _cut(text: str, limit: int) -> str:
    tail = limit // 3
    return text if len(text) <= limit else f"{text[: limit - tail - 1]}…{text[-tail:]}"


def one_line(error: BaseException, limit: int = 240) -> str:
    """A framework's error as one printable line: its first that says something, cut at `limit` characters."""
    lines = [clean_text(line).strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    # TorchDynamo says what happened on a later line: "... got RuntimeError('...')".
    detail = next((line for line in lines[1:] if ": got " in line), None)
    if detail is not None:
        text = f"{text}: {detail[detail.index(': got ') + 6 :]}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
