"""Check of what PyTorch may read of a stored program: an archive that holds numbers and a graph, and nothing that runs.

`torch.export.load` is no safe reader: it unpickles every payload that the archive marks for it (`use_pickle`, example
inputs, custom and opaque objects, whole legacy files), gives symbolic expressions to `sympify` and guards to `exec`,
which evaluate them, imports what a tree specification names, loads compiled libraries (`data/aotinductor`), finds what a
node calls by attributes from `torch` on, and writes names into Python source that it runs
(`torch/export/pt2_archive/_package.py`, `torch/_export/serde/serialize.py`, `torch/utils/_pytree.py`, torch 2.13).

Our programs are static and need none of that. So every entry, every kind of argument and every name is held against a
list of what they do need; all else is refused. The checked parts are repacked and read from memory: PyTorch's reader and
ours can't disagree about which bytes an entry has. Imports no framework.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from depthport.exporters.core.errors import ArtifactError, one_line
from depthport.exporters.core.text import quoted

LARGEST_BYTES = 1 << 32
"""Largest total of all entries: programs borrow their parameters and hold only tables of the shape."""

_MODEL = "models/model.json"
_CONFIGS = {
    "data/weights/model_weights_config.json": ("data/weights/", "weight_"),
    "data/constants/model_constants_config.json": ("data/constants/", "tensor_"),
}
_EXAMPLES = "data/sample_inputs/model.pt"
_ENTRY = re.compile(
    r"(data/weights/weight_\d+|data/constants/tensor_\d+|data/weights/model_weights_config\.json"
    r"|data/constants/model_constants_config\.json|data/sample_inputs/model\.pt|models/model\.json"
    r"|extra/parameters\.json|archive_format|archive_version|byteorder|\.data/version|\.data/serialization_id)"
)

_OPERATOR = re.compile(r"torch\.ops\.(aten|depthport)\.(_?[a-z][A-Za-z0-9_]*)\.([A-Za-z][A-Za-z0-9_]*)")
_WITH_FILES = frozenset({"from_file"})
"""ATen's operators that open files."""
_ARGUMENTS = frozenset({
    "as_none", "as_tensor", "as_tensors", "as_optional_tensors", "as_int", "as_ints", "as_float", "as_floats", "as_bool",
    "as_bools", "as_string", "as_scalar_type", "as_device", "as_memory_format", "as_layout",
})  # fmt: skip
_SIGNATURE = frozenset({"parameter", "buffer", "tensor_constant", "user_input", "user_output"})
_EMPTY = ("range_constraints", "guards_code", "custom_obj_values", "sym_int_values", "sym_bool_values", "sym_float_values")
_METADATA = frozenset({"nn_module_stack", "torch_fn"})
_NAMES = frozenset({"name", "parameter_name", "buffer_name", "tensor_constant_name", "fqn", "forward_arg_names"})
_NAME = re.compile(r"[A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_TEXT = re.compile(r"[\w.,:;@+*()\[\]<> -]*")
_ANY = re.compile(r".*", re.DOTALL)
_TREES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", None})
_MAX_DEPTH = 40


IsOperator = Callable[[str, str, str], bool]
"""True if namespace, name and overload are those of an operator that is registered."""


def checked_archive(path: Path, is_operator: IsOperator) -> io.BytesIO:
    """The archive of a program, checked and repacked, for `torch.export.load`.

    Raises:
        ArtifactError: it can't be read, or holds what could run or what none of our programs holds.
    """
    check = _Check(path.name, is_operator)
    entries = check.entries(path)
    for config, (folder, prefix) in _CONFIGS.items():
        check.payloads(check.parsed(entries, config), entries, folder, prefix)
    if entries.get(_EXAMPLES):
        check.refuse("example inputs, which are unpickled")
    check.program(check.parsed(entries, _MODEL))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"archive/{name}", content)
    packed.seek(0)
    return packed


def _words(key: str) -> re.Pattern[str]:
    """Return the pattern of texts below `key`; targets and trees have their own rules (:meth:`_Check._field`)."""
    return _NAME if key in _NAMES else _ANY if key in ("target", "in_spec", "out_spec") else _TEXT


class _Check:
    def __init__(self, name: str, is_operator: IsOperator) -> None:
        self._name = name
        self._is_operator = is_operator

    def refuse(self, what: str) -> NoReturn:
        raise ArtifactError(f"{self._name} holds {what}: it was not written by depthport, don't use this artifact")

    def entries(self, path: Path) -> dict[str, bytes]:
        """Every entry by its name below the archive's one folder."""
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(info.file_size for info in archive.infolist()) > LARGEST_BYTES:
                    self.refuse(f"more than {LARGEST_BYTES >> 30} GiB")
                found: dict[str, bytes] = {}
                for info in archive.infolist():
                    _, _, name = info.filename.partition("/")
                    if _ENTRY.fullmatch(name) is None or info.compress_type != zipfile.ZIP_STORED or name in found:
                        self.refuse(f"an entry {quoted(info.filename)} that depthport never writes")
                    found[name] = archive.read(info)
                return found
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise ArtifactError(f"{self._name} is damaged ({one_line(error)}): export it again") from None

    def parsed(self, entries: Mapping[str, bytes], name: str) -> object:
        try:
            return json.loads(entries[name])
        except (KeyError, ValueError, RecursionError):
            raise ArtifactError(f"{self._name} is damaged ({name} is missing or not valid JSON): export it again") from None

    def payloads(self, config: Any, entries: Mapping[str, bytes], folder: str, prefix: str) -> None:
        """Tensors as plain numbers, each in an entry of its own kind."""
        listed = config.get("config") if isinstance(config, Mapping) else None
        if not isinstance(listed, Mapping):
            self.refuse("an unreadable list of tensors")
        for tensor, payload in listed.items():
            if not isinstance(payload, Mapping) or payload.get("use_pickle") is not False:
                self.refuse(f"a tensor {quoted(tensor)} that is marked for unpickling")
            place = payload.get("path_name")
            if not isinstance(place, str) or not place.startswith(prefix) or f"{folder}{place}" not in entries:
                self.refuse(f"a tensor {quoted(tensor)} in an entry that does not hold tensors")
            self.walk(payload, 0)

    def program(self, program: Any) -> None:
        graph_module = program.get("graph_module") if isinstance(program, Mapping) else None
        signature = graph_module.get("signature") if isinstance(graph_module, Mapping) else None
        if not isinstance(signature, Mapping):
            self.refuse("no readable program")
        for side in ("input_specs", "output_specs"):
            specs = signature.get(side)
            if not isinstance(specs, list) or any(not isinstance(s, Mapping) or not s.keys() <= _SIGNATURE for s in specs):
                self.refuse("inputs or outputs other than tensors")
        self.walk(program, 0)

    def walk(self, node: Any, depth: int, key: str = "") -> None:
        """Hold everything below a node of the JSON against the lists above; `key` is what leads to it."""
        if depth > _MAX_DEPTH:
            self.refuse("a graph nested more deeply than depthport writes")
        if isinstance(node, Mapping):
            for name, value in node.items():
                self._field(name, value)
                self.walk(value, depth + 1, name)
        elif isinstance(node, list):
            for value in node:
                self.walk(value, depth + 1, key)
        elif isinstance(node, str) and _words(key).fullmatch(node) is None:
            self.refuse(f"the name {quoted(node)}")

    def _field(self, name: str, value: Any) -> None:
        if _NAME.fullmatch(name) is None:
            self.refuse(f"the name {quoted(name)}")
        if name == "expr_str" or (name.startswith("as_") and name not in _ARGUMENTS):
            self.refuse(f"an argument of the kind {quoted(name)}, which PyTorch would evaluate or unpickle")
        if name in _EMPTY and value:
            self.refuse(f"{name}, which PyTorch would evaluate")
        if name == "metadata" and value and not (isinstance(value, Mapping) and value.keys() <= _METADATA):
            self.refuse("metadata that depthport never writes")
        if name == "target":
            found = _OPERATOR.fullmatch(value) if isinstance(value, str) else None
            if found is None or found[2] in _WITH_FILES or not self._is_operator(*found.groups()):
                self.refuse(f"a call of {quoted(value)}, which is not an operator on tensors")
        if name in ("in_spec", "out_spec"):
            self._tree(value)

    def _tree(self, text: Any) -> None:
        """A tree of plain tuples, lists and dictionaries."""
        try:
            _, root = json.loads(text)
            pending = [root]
            while pending:
                node = pending.pop()
                context = json.loads(node["context"]) if node["context"] is not None else None
                keys = context if isinstance(context, list) else [] if context is None else [context]
                if node["type"] not in _TREES or not all(isinstance(k, str) and k.isidentifier() for k in keys):
                    self.refuse("a tree of types other than tuples, lists and dictionaries")
                pending += node["children_spec"]
        except (KeyError, TypeError, ValueError, RecursionError):
            self.refuse("an unreadable tree")
