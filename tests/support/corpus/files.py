"""Files that are not what a command expects, one of each kind, and those that are."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support import results as fixtures
from tests.support.fake_runtime import fake_artifact


@dataclass(frozen=True)
class Good:
    """What a command takes."""

    results: Path
    artifact: Path
    photograph: Path
    poses: Path


def good_files(folder: Path) -> Good:
    """One of each, in `folder`."""
    folder.mkdir(parents=True)
    results = folder / "results.json"
    results.write_text(json.dumps(fixtures.cpu_server(fixtures.FEW).to_json()))
    photograph = folder / "photograph.png"
    Image.fromarray(np.zeros((28, 28, 3), np.uint8)).save(photograph)
    poses = folder / "poses.json"
    eye = np.eye(4).tolist()
    poses.write_text(json.dumps({"extrinsics": [eye], "intrinsics": [[[50, 0, 14], [0, 50, 14], [0, 0, 1]]]}))
    return Good(results, fake_artifact(folder / "artifact").path, photograph, poses)


def bad_files(folder: Path) -> dict[str, Path]:
    """By kind: what no command takes, whatever it reads."""
    folder.mkdir(parents=True)
    contents = {
        "empty": b"",
        "one NUL": b"\0",
        "text": b"hello\n",
        "a byte order mark": b"\xef\xbb\xbf",
        "UTF-16 of nothing": "x".encode("utf-16"),
        "Latin-1": "{\"ä\": 1}".encode("latin-1"),
        "JSON cut short": b'{"schema": "depthport.results/1", "cells": [',
        "JSON of a number": b"1",
        "JSON of a list": b"[[[1]]]",
        "JSON of null": b"null",
        "JSON of another schema": b'{"schema": "x/1", "cells": {}}',
        "JSON of 100,000 levels": b"[" * 100_000,
        "JSON of a number of 5,000 digits": b'{"schema": ' + b"9" * 5000 + b"}",
        "JSON with a key twice": b'{"schema": "x", "schema": 1, "cells": 0, "cells": null}',
        "JSON of control characters": b'{"schema": "\\u001b[31m\\u202e", "cells": "\\ud800"}',
        "a pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00}\x94.",
        "a zip bomb": _zip({"extrinsics.npy": bytes(64 << 20)}),
        "a zip cut short": _zip({"a.npy": bytes(1000)})[:90],
        "an array of pickles": _array(np.array([{}], object)),
        "an array alone": _array(np.zeros(3)),
        "an array that claims terabytes": _claims((1 << 40,)),
        "a picture cut short": _picture()[:60],
        "a picture of other bytes": b"\x89PNG\r\n\x1a\n" + b"\xff" * 200,
        "HTML": b"<html><script>alert(1)</script>",
        "numbers without an end": b"1 2 3\n" * 100,
        "NaN": b"NaN NaN NaN NaN NaN NaN NaN NaN\n",
    }  # fmt: skip
    found = {}
    for index, (kind, content) in enumerate(contents.items()):
        found[kind] = folder / f"file-{index}"
        found[kind].write_bytes(content)
    found["a folder of nothing"] = folder / "nothing"
    found["a folder of nothing"].mkdir()
    found["a folder in a folder"] = folder / "holds"
    (folder / "holds" / "results.json").mkdir(parents=True)
    found["a file that is not there"] = folder / "missing"
    found["a name of 5,000 characters"] = folder / ("x" * 5000)
    found["control characters"] = folder / "\x1b[31m\u202e\n"
    found["below a file"] = folder / "file-0" / "x"
    found["a link to itself"] = folder / "loop"
    found["a link to itself"].symlink_to("loop")
    found["a link to nothing"] = folder / "dangling"
    found["a link to nothing"].symlink_to("nowhere")
    found["a pipe"] = folder / "pipe"
    os.mkfifo(found["a pipe"])
    found["a device without an end"] = Path("/dev/zero")
    found["the home of nobody"] = Path("~nobody-of-that-name/x")
    return found


def bad_folders(files: dict[str, Path]) -> dict[str, Path]:
    """By kind: where no folder can be made and nothing be written."""
    keep = ("text", "a name of 5,000 characters", "below a file", "a link to itself", "a pipe", "the home of nobody")
    found = {kind: files[kind] for kind in keep}
    found |= {"a device": Path("/dev/null"), "below a device": Path("/dev/null/x")}
    if Path("/proc/self").exists():
        found["a file system of the system's"] = Path("/proc/depthport")
    return found


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _array(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _claims(shape: tuple[int, ...]) -> bytes:
    """An `.npz` whose header says more than it holds."""
    buffer = io.BytesIO()
    write_array_header_1_0: Callable[..., None] = np.lib.format.write_array_header_1_0
    write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return _zip({"extrinsics.npy": buffer.getvalue() + bytes(80)})


def _picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((28, 28, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
