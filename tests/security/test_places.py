"""Every command in a bad place: a folder full of shadowing modules, a store that may only be read, no HOME, and a stream
in each of five encodings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import results as fixtures
from tests.support.corpus.cases import commands
from tests.support.corpus.files import good_files
from tests.support.paths import ROOT
from tests.support.shadows import IMPORTED_FIRST, shadowing_modules
from tests.support.tiny import tiny_onnx

ENCODINGS = ("cp1252", "latin-1", "ascii", "cp850", "cp932")
CAPABILITIES = "-dac_override,-dac_read_search,-fowner"
"""Without them even root may not write where nobody may."""
SMALL = ["--size", "28x28", "--weights", "synthetic:0"]
LIGHT = {"doctor", "inspect", "list", "sample", "report", "compare", "choose", "reproduce"}


class Place:
    """Where commands run: files beside a folder of shadows, and a store that was filled and then closed."""

    def __init__(self, folder: Path) -> None:
        self.files = good_files(folder / "files")
        results = json.loads(self.files.results.read_text())
        results["environment"]["cpu"]["model"] = "Prozessor \u201cf\u00fcr\u201d \u65e5\u672c \u2713 \u2026"
        self.files.results.write_text(json.dumps(results))
        self.onnx = tiny_onnx(folder / "onnx").path
        self.store, self.out = folder / "store", folder / "\u65e5\u672c"
        self.work = shadowing_modules(folder / "shadows")
        for name in IMPORTED_FIRST:
            shutil.rmtree(self.work / name, ignore_errors=True)
            (self.work / f"{name}.py").unlink(missing_ok=True)

    def arguments(self) -> dict[str, list[str]]:
        """By command: one that ends well."""
        results, photograph = str(self.files.results), str(self.files.photograph)
        measured = [*SMALL, "--budget", "1", "--artifacts", str(self.store), "--overwrite", "--out"]
        ours = ["--artifacts", str(self.store)]
        quick = ["--suite", "quick", "--protocol", "quick", "--runtime", "pytorch", "--launches", "1"]
        return {
            "doctor": [],
            "run": [*measured, str(self.out / "run")],
            "export": ["da3-small", "--format", "pytorch", *SMALL, *ours],
            "predict": ["da3-small", photograph, "--weights", "synthetic:0", *ours, "--out", str(self.out / "predict")],
            "check": ["da3-small", "--precision", "bf16", *SMALL, *ours],
            "inspect": [str(self.files.artifact)],
            "list": [str(self.onnx.parent)],
            "sample": [str(self.onnx), "--for", "python", "--out", str(self.out / uuid4().hex)],
            "bench": [*measured, str(self.out / "bench"), *quick],
            "profile": ["da3-small", "--mode", "eager", *SMALL, *ours, "--calls", "2", "--out", str(self.out / "profile")],
            "max-batch": ["da3-small", "--runtime", "pytorch", *SMALL, *ours, "--most", "2"],
            "report": [results, "--out", str(self.out / "report")],
            "compare": [results, results],
            "choose": [results],
            "reproduce": [results, fixtures.cpu_server(fixtures.FEW).cells[0].id],
        }

    def run(self, command: str, encoding: str) -> tuple[int, str]:
        """Exit code, and what was said on both streams."""
        environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "PYTHONSAFEPATH", "PYTHONUTF8")}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "HF_HUB_OFFLINE": "1"}
        call = [sys.executable, "-m", "depthport", command, *self.arguments()[command]]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            call = ["setpriv", f"--bounding-set={CAPABILITIES}", f"--inh-caps={CAPABILITIES}", *call]
        done = subprocess.run(call, capture_output=True, env=environment, cwd=self.work, timeout=570)
        return done.returncode, (done.stdout + done.stderr).decode(encoding, "replace")

    def ends_well(self, command: str, encoding: str) -> None:
        code, said = self.run(command, encoding)
        # A result below what was asked is a result.
        assert code == 0 or (code == 1 and command == "check"), f"{command} in {encoding}: {code}: {said[-1500:]}"
        assert "Traceback" not in said and "of the working directory" not in said, said[-1500:]
        assert not {"\x1b", "\u202e", "\x07", "\x00"} & set(said)

    def close(self) -> None:
        """Nobody may write to the store, its folders and files."""
        for path in (self.store, *self.store.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    if os.name != "posix" or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("needs POSIX permissions, and setpriv where root runs the tests")
    return Place(tmp_path_factory.mktemp("place"))


def test_every_command_is_tried(place: Place) -> None:
    assert set(place.arguments()) == set(commands())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_commands_that_measure_nothing(encoding: str, place: Place) -> None:
    for command in sorted(LIGHT):
        place.ends_well(command, encoding)


@pytest.mark.slow
def test_commands_that_measure(place: Place) -> None:
    for package in ("torch", "onnxruntime", "depth_anything_3"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    heavy = sorted(set(commands()) - LIGHT)
    for command in heavy:
        place.ends_well(command, "utf-8")
    place.close()
    for encoding in ENCODINGS:
        for command in heavy:
            place.ends_well(command, encoding)
