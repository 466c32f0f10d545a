"""A digest of the source that decides a result: what a module reaches by its imports, and no more.

A comment edited in one exporter says nothing about another's artifacts, and nothing about its own. So the digest covers
the modules reached from where the work starts, found without importing them: by imports at the top and inside functions,
and by strings that name a module, as tables of late imports do. Each counts as its syntax tree without comments,
docstrings, layout and what only type checkers see; sources in other languages beside them count as they are. The digest
is the same in a checkout and an installed wheel, and in every Python this package supports: what `ast.dump` and `repr`
print differs between them, so neither is used.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from depthport.exporters.core.errors import UsageError

NATIVE_SUFFIXES = frozenset({".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".json", ".metal"})
"""Suffixes of files that a module reads or compiles when it runs."""
_FACADE = "depthport"
"""Module that is not followed: it imports everything, late."""
_REDUNDANT = frozenset({"ctx", "kind", "type_comment"})
"""Fields of a syntax tree that follow from the others or mean nothing."""
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@lru_cache
def source_digest(*modules: str) -> str:
    """Hex sha256 over the source that `modules` reach within their own top-level packages and depthport.

    Raises:
        UsageError: one of them has no source that can be found (it was typed into a prompt).
    """
    digest = hashlib.sha256()
    reached = reachable(*modules)
    for name in reached:
        digest.update(f"{name} {_read(name).digest}\n".encode())
    for package, file in _native_files(reached):
        digest.update(f"{package}/{file.name} {_text_sha256(file.read_bytes())}\n".encode())
    return digest.hexdigest()


def reachable(*modules: str) -> tuple[str, ...]:
    """Return the names of `modules` and of every module they import, directly or not, in name order.

    The packages they lie in are among them. Nothing is imported.

    Raises:
        UsageError: one of `modules` has no source that can be found.
    """
    for name in modules:
        if _locate(name) is None:
            raise UsageError(f"the source of module {name!r} can't be found: put its code in a file of a package")
    within = {_FACADE, *(name.partition(".")[0] for name in modules)}
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        name = waiting.pop()
        if name in found or name == _FACADE or name.partition(".")[0] not in within or _locate(name) is None:
            continue
        found.add(name)
        waiting |= _read(name).imports
        # Importing a module runs the packages it lies in.
        if parent := name.rpartition(".")[0]:
            waiting.add(parent)
    return tuple(sorted(found))


@dataclass(frozen=True)
class _Source:
    digest: str
    imports: frozenset[str] = frozenset()
    """Possible imports: modules, and names in them that need not be modules."""


@dataclass(frozen=True)
class _Place:
    file: Path | None
    """None for a folder without `__init__.py`."""
    folders: tuple[str, ...]
    """Folders of a package's modules; empty for a module."""


@cache
def _locate(name: str) -> _Place | None:
    """Locate a module; its parents are not imported, which :func:`importlib.util.find_spec` would do."""
    parent, _, _ = name.rpartition(".")
    spec: ModuleSpec | None
    if not parent:
        try:
            spec = find_spec(name)
        except ValueError:  # `__main__`, or a module that was made by hand
            spec = None
    else:
        place = _locate(parent)
        spec = PathFinder.find_spec(name, list(place.folders)) if place is not None and place.folders else None
    if spec is not None and (spec.has_location or spec.submodule_search_locations is not None):
        file = Path(spec.origin) if spec.has_location and spec.origin else None
        return _Place(file, tuple(spec.submodule_search_locations or ()))
    loaded = sys.modules.get(name)
    origin = getattr(loaded, "__file__", None)
    return _Place(Path(origin) if origin else None, tuple(getattr(loaded, "__path__", ()))) if origin else None


@cache
def _read(name: str) -> _Source:
    place = _locate(name)
    if place is None or place.file is None:
        return _Source("")
    content = place.file.read_bytes()
    if place.file.suffix != ".py":
        return _Source(hashlib.sha256(content).hexdigest())
    reader = _Reader(name if place.folders else name.rpartition(".")[0])
    collecting = gc.isenabled()
    gc.disable()  # a tree is many objects and no garbage: looking for some takes time
    try:
        reader.read(ast.parse(content))
    finally:
        if collecting:
            gc.enable()
    text = "\n".join(reader.parts)
    return _Source(hashlib.sha256(text.encode()).hexdigest(), frozenset(reader.imports))


class _Reader:
    """One walk over a syntax tree, for its text and its imports."""

    def __init__(self, package: str) -> None:
        self.parts: list[str] = []
        """The tree, the same whatever its comments, docstrings, layout and the Python that parsed it."""
        self.imports: set[str] = set()
        self._package = package

    def read(self, node: ast.AST) -> None:
        parts, kind = self.parts, type(node)
        parts.append(kind.__name__)
        if isinstance(node, ast.Name):  # the most frequent node, with one field that counts
            parts.append(node.id)
            return
        if isinstance(node, ast.Constant):
            self._constant(node.value)
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        for field in kind._fields:
            value = getattr(node, field, None)
            shape = type(value)
            # A field that one Python has and another lacks is empty where it is not used.
            if value is None or field in _REDUNDANT:
                continue
            if shape is list:
                if not value or (field == "body" and _for_types_only(node)):
                    continue
                parts.append(field)
                for item in _pieces(value) if kind is ast.JoinedStr else value:
                    if not isinstance(item, ast.AST):
                        parts.append(str(item))
                    elif not _only_a_text(item):
                        self.read(item)
                parts.append("]")
            else:
                parts.append(field)
                if shape is str or shape is int:
                    parts.append(str(value))
                else:
                    self.read(value)
        parts.append(")")

    def _constant(self, value: object) -> None:
        self.parts.append(ascii(value))  # not `repr`: which characters it prints depends on Python's Unicode
        if isinstance(value, str) and "." in value and _DOTTED.fullmatch(name := value.partition(":")[0]):
            self.imports.add(name)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            above = self._package.split(".")
            base = above[: len(above) - node.level + 1] if node.level else []
            base += [node.module] if node.module else []
            names = [".".join(base), *(".".join([*base, name]) for name in names)]
        self.imports.update(names)


def _for_types_only(node: ast.AST) -> bool:
    """Return whether a statement is `if TYPE_CHECKING:`, which never runs."""
    return type(node) is ast.If and "TYPE_CHECKING" in (getattr(node.test, "id", None), getattr(node.test, "attr", None))


def _only_a_text(node: ast.AST) -> bool:
    """Return whether a statement is a docstring or another text that does nothing."""
    return type(node) is ast.Expr and type(node.value) is ast.Constant and isinstance(node.value.value, str)


def _pieces(values: list[ast.expr]) -> list[object]:
    """The parts of an f-string with neighbouring texts joined and empty ones gone: Pythons cut them differently."""
    joined: list[object] = []
    for value in values:
        last = joined[-1] if joined else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            joined[-1] = ast.Constant(str(last.value) + str(value.value))
        elif not isinstance(value, ast.Constant) or value.value:
            joined.append(value)
    return joined


def _native_files(modules: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Sources in other languages beside `modules`, with the package they lie in."""
    folders: dict[str, Path] = {}
    for name in modules:
        place = _locate(name)
        if place is not None and place.file is not None:
            folders[name if place.folders else name.rpartition(".")[0]] = place.file.parent
    for package, folder in sorted(folders.items()):
        for file in sorted(folder.iterdir(), key=lambda path: path.name):
            if file.suffix in NATIVE_SUFFIXES and file.is_file():
                yield package, file


def _text_sha256(content: bytes) -> str:
    """Hash text whose line ends a checkout may have changed."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()
