"""What an artifact's key knows of source: all that decides the artifact, and nothing else."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depthport.exporters.api import deciding_source
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.source import _Reader, reachable, source_digest
from depthport.exporters.registry import get_exporter
from tests.support.paths import ROOT

ONNX = ("depthport.exporters.onnx.exporter", "depthport.exporters.api")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The exporters of this checkout, to be changed."""
    package = tmp_path / "depthport"
    package.mkdir()
    shutil.copy(ROOT / "depthport" / "__init__.py", package)
    ignored = shutil.ignore_patterns("__pycache__", "*.md")
    shutil.copytree(ROOT / "exporters", package / "exporters", ignore=ignored)
    return package / "exporters"


def digest(exporters: Path, *modules: str) -> str:
    code = f"from depthport.exporters.core.source import source_digest; print(source_digest(*{modules or ONNX}))"
    environment = {**os.environ, "PYTHONPATH": str(exporters.parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=exporters, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def append(file: Path, text: str) -> None:
    assert file.is_file()
    file.write_text(file.read_text() + text)


def test_a_copy_elsewhere_and_another_process_have_the_same_digest(checkout: Path) -> None:
    assert digest(checkout) == source_digest(*ONNX) == deciding_source(get_exporter("onnx"))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("coreml/exporter.py", "\n# a comment in another exporter\n"),
        ("coreml/exporter.py", "\nOTHER = 1\n"),
        ("tensorrt/build.py", "\nOTHER = 1\n"),
        ("precision_check/__init__.py", "\nOTHER = 1\n"),
        ("onnx/exporter.py", "\n# a comment\n"),
        ("onnx/exporter.py", '\n"""A text that does nothing."""\n'),
        ("da3/upstream.py", "\n\n\n# a comment in what it imports\n"),
        ("INPUTS.md", "prose"),
        ("onnx/unused.py", "VALUE = 1\n"),
    ],
)
def test_what_decides_nothing_leaves_the_digest(checkout: Path, file: str, text: str) -> None:
    path = checkout / file
    path.write_text((path.read_text() if path.exists() else "") + text)
    assert digest(checkout) == source_digest(*ONNX)


@pytest.mark.parametrize(
    "file",
    [
        "onnx/exporter.py",
        "onnx/targets/ort_cuda.py",  # imported late, by its name in a table
        "onnx/quantize.py",  # imported inside a function
        "onnx/__init__.py",
        "da3/static/head.py",
        "da3/host/sky.py",
        "da3/weights.py",
        "core/precision.py",
        "api.py",
    ],
)
def test_code_it_reaches_changes_the_digest(checkout: Path, file: str) -> None:
    append(checkout / file, "\nOTHER = 1\n")
    assert digest(checkout) != source_digest(*ONNX)


def test_kernels_count_in_every_language(checkout: Path) -> None:
    modules = ("depthport.exporters.pytorch.exporter",)
    before = digest(checkout, *modules)
    append(checkout / "da3/kernels/cuda/norms.py", "\nOTHER = 1\n")
    triton = digest(checkout, *modules)
    append(checkout / "da3/kernels/cuda/hopper.cu", "\nint other;\n")
    assert len({before, triton, digest(checkout, *modules)}) == 3


def test_line_ends_of_a_checkout_do_not_count(checkout: Path) -> None:
    modules = ("depthport.exporters.pytorch.exporter",)
    before = digest(checkout, *modules)
    for name in ("da3/kernels/cuda/hopper.cu", "pytorch/exporter.py"):
        path = checkout / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert digest(checkout, *modules) == before


def test_exporters_do_not_reach_each_other_but_for_what_they_build_on() -> None:
    def rooms(format: str) -> set[str]:
        names = reachable(f"depthport.exporters.{format}.exporter", "depthport.exporters.api")
        return {name.split(".")[2] for name in names if name.count(".") > 1}

    shared = {"api", "base", "core", "da3", "inputs", "registry"}
    assert rooms("pytorch") == shared | {"pytorch", "quantization"}
    assert rooms("coreml") == shared | {"coreml"}
    assert rooms("tensorrt") == shared | {"onnx", "pytorch", "quantization", "tensorrt"}


def test_every_module_that_runs_in_an_export_is_reached() -> None:
    # One that is imported by a name put together at run time would be missed.
    formats = ("coreai", "coreml", "executorch", "litert", "onnx", "pytorch", "tensorrt")
    reached = set(reachable("depthport.exporters.api", *(f"depthport.exporters.{name}.exporter" for name in formats)))
    files = (file.relative_to(ROOT).with_suffix("") for file in (ROOT / "exporters").rglob("*.py"))
    modules = {".".join(["depthport", *file.parts]).removesuffix(".__init__") for file in files}
    unreached = {name for name in modules - reached if "precision_check" not in name}
    # What bench and the sessions do with arrays, poses, paths and signals; a graph does its own arithmetic.
    others = (
        "core.files.npz", "core.schema", "da3.processors", "da3.ties", "inputs.chaining", "inputs.images",
        "inputs.plausible", "inputs.poses", "inputs.similarity", "options_page",
    )  # fmt: skip
    assert unreached <= {f"depthport.exporters.{name}" for name in others}


def test_a_plug_in_counts_with_its_own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "acme_source_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "exporter.py").write_text(
        "from . import helper\nfrom depthport.exporters.core.files import atomic\nimport json\n"
    )
    (package / "helper.py").write_text("VALUE = 1\n")
    (package / "other.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    names = reachable("acme_source_test.exporter")
    assert {"acme_source_test", "acme_source_test.exporter", "acme_source_test.helper"} < set(names)
    assert "depthport.exporters.core.files.atomic" in names
    assert not {"acme_source_test.other", "json", "depthport"} & set(names)
    assert "acme_source_test" not in sys.modules


def test_what_has_no_source_is_refused() -> None:
    with pytest.raises(UsageError, match="the source of module 'no_such_module'"):
        source_digest("no_such_module")


SAMPLE = '''
"""Docstring."""
from __future__ import annotations
import os.path as path, sys
from .. import sibling
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import numpy
@decorator(1, *args, key=None, **more)
class Thing(Base, metaclass=Meta):
    """Docstring."""
    field: int = 0x10 + 1_000 - 1e-300 * 3j  # comment
    async def method(self, a, /, b=..., *c: int, d=b"\\x00\\xff", **e) -> "str":
        "docstring"
        async with a as b, c: await b
        return f"{a!r:>{b}}" "tail" f"{c=}" f"" rf"\\d{d:}" "\U0001fae0 é"
def größe(x: list[int] = [1, 2], *, y): return lambda *z: x[1:2, ::3, y] if (n := not x) else {**x, 'k': -1}
match point:
    case {"x": 0, **rest} | [1, *_] if rest: pass
    case Thing(field=None): ...
try: del a.b, c[0]
except (A, B) as error: raise error from None
else: global_ = [i async for i in x if i for j in i]
finally: assert 0 < 1 <= 2, "text"
while True: break
for i, in x: continue
'''
SAMPLE_SHA256 = "266718ba630ec6dcc51ad53e3cfd6cfab4138ddd14de1641667ba7fd0d64968c"


def test_a_tree_reads_the_same_in_every_python() -> None:
    reader = _Reader("package.room")
    reader.read(ast.parse(SAMPLE))
    assert hashlib.sha256("\n".join(reader.parts).encode()).hexdigest() == SAMPLE_SHA256
    assert reader.imports == {"os.path", "sys", "package", "package.sibling", "__future__", "__future__.annotations",
                              "typing", "typing.TYPE_CHECKING"}  # fmt: skip


def test_a_tree_tells_apart_what_differs() -> None:
    def text(source: str) -> str:
        reader = _Reader("package")
        reader.read(ast.parse(source))
        return "\n".join(reader.parts)

    sources = [
        *(
            "f(a, b)",
            "f(a)(b)",
            "f((a, b))",
            "f(a=b)",
            "{**a}",
            "{a: b}",
            "f'{a}b'",
            "f'{a!r}b'",
            "f'{a:b}'",
            "a - b",
            "a + b",
        ),
        *("x = 1", "x = True", "x = 1.0", "x = '1'", "x = None", "x = ...", "x = b'1'", "x = f'1'", "x: int", "x: int = 1"),
        *("not a", "-a", "del x", "def f(a, /): ...", "def f(a): ...", "def f(*, a): ..."),
    ]
    assert len({text(source) for source in sources}) == len(sources)
    assert text("def f():\n    'doc'\n    return 1  # why\n") == text("def f(): return (1)")
