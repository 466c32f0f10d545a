"""What PyTorch would run, evaluate or unpickle of a stored program is refused before it reads it."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError
from depthport.runtimes.pytorch import archive

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

Entries = dict[str, bytes]
WEIGHTS, CONSTANTS, MODEL = (
    "archive/data/weights/model_weights_config.json", "archive/data/constants/model_constants_config.json",
    "archive/models/model.json",
)  # fmt: skip


def checked_archive(path: Path) -> Any:
    from depthport.runtimes.pytorch.program import is_operator

    return archive.checked_archive(path, is_operator)


class Marker:
    """Unpickled, it leaves a file: the harmless stand-in for anything."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.fixture(scope="module")
def program(exported: Callable[..., Artifact]) -> Path:
    return exported("pytorch").file("program.pt2")


def changed(program: Path, folder: Path, change: Callable[[Entries], None]) -> Path:
    with zipfile.ZipFile(program) as opened:
        entries = {name: opened.read(name) for name in opened.namelist()}
    change(entries)
    path = folder / "program.pt2"
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return path


def edit(name: str, change: Callable[[Any], None]) -> Callable[[Entries], None]:
    def apply(entries: Entries) -> None:
        data = json.loads(entries[name])
        change(data)
        entries[name] = json.dumps(data).encode()

    return apply


def first(data: Any) -> Any:
    return next(iter(data["config"].values()))


def nodes(data: Any) -> Any:
    return data["graph_module"]["graph"]["nodes"]


def tree(kind: str, context: str) -> str:
    return json.dumps([1, {"type": kind, "context": context, "children_spec": []}])


def signature(data: Any) -> Any:
    return data["graph_module"]["module_call_graph"][0]["signature"]


def entry(name: str, content: bytes = b"x") -> Callable[[Entries], None]:
    return lambda entries: entries.update({name: content})


CODE = "__import__('pathlib').Path('marker').touch()"
HOSTILE: dict[str, Callable[[Entries], None]] = {
    "pickled weight": edit(WEIGHTS, lambda d: first(d).update(use_pickle=True)),
    "pickled constant": edit(CONSTANTS, lambda d: first(d).update(use_pickle=True)),
    "neither pickled nor not": edit(WEIGHTS, lambda d: first(d).pop("use_pickle")),
    "custom object": edit(CONSTANTS, lambda d: first(d).update(path_name="custom_obj_0")),
    "opaque object": edit(CONSTANTS, lambda d: first(d).update(path_name="opaque_obj_0")),
    "tensor elsewhere": edit(WEIGHTS, lambda d: first(d).update(path_name="../../extra/parameters.json")),
    "legacy weights": entry("archive/data/weights/model.pt"),
    "legacy constants": entry("archive/data/constants/model.pt"),
    "example inputs": entry("archive/data/sample_inputs/model.pt"),
    "compiled library": entry("archive/data/aotinductor/model/model.so"),
    "second model": entry("archive/models/other.json"),
    "legacy program": entry("serialized_exported_program.json"),
    "path upwards": entry("archive/../../x"),
    "symbolic size": edit(MODEL, lambda d: nodes(d)[0]["inputs"][0].update(arg={"as_expr": {"expr_str": CODE}})),
    "symbol in a shape": edit(WEIGHTS, lambda d: first(d)["tensor_meta"]["sizes"].append({"as_expr": {"expr_str": CODE}})),
    "guard": edit(MODEL, lambda d: d.update(guards_code=[CODE])),
    "range": edit(MODEL, lambda d: d.update(range_constraints={"s0": {"min_val": 1, "max_val": 2}})),
    "torch.load": edit(MODEL, lambda d: nodes(d)[0].update(target="torch.load")),
    "attribute of an operator": edit(MODEL, lambda d: nodes(d)[0].update(target="torch.ops.aten.add.__init__")),
    "module": edit(MODEL, lambda d: nodes(d)[0].update(target="torch.ops.aten.os.system")),
    "extension": edit(MODEL, lambda d: nodes(d)[0].update(target="#x")),
    "file operator": edit(MODEL, lambda d: nodes(d)[0].update(target="torch.ops.aten.from_file.default")),
    "custom argument": edit(MODEL, lambda d: nodes(d)[0]["inputs"][0].update(arg={"as_custom_obj": {"name": "x"}})),
    "operator argument": edit(MODEL, lambda d: nodes(d)[0]["inputs"][0].update(arg={"as_operator": "torch.load"})),
    "graph argument": edit(MODEL, lambda d: nodes(d)[0]["inputs"][0].update(arg={"as_graph": {}})),
    "name that is source": edit(MODEL, lambda d: nodes(d)[0]["inputs"][0].update(name=f"x=0); {CODE}; (")),
    "argument that is source": edit(MODEL, lambda d: signature(d).update(forward_arg_names=[f"x=({CODE})"])),
    "metadata": edit(MODEL, lambda d: nodes(d)[0]["metadata"].update(source_fn_stack="x,torch.load")),
    "tree that imports": edit(
        MODEL, lambda d: signature(d).update(in_spec=tree("collections.defaultdict", '{"default_factory_module": "x"}'))
    ),
    "tree with an enumeration": edit(
        MODEL, lambda d: signature(d).update(in_spec=tree("builtins.dict", '[{"__enum__": true, "fqn": "x:y"}]'))
    ),
    "custom input": edit(MODEL, lambda d: d["graph_module"]["signature"]["input_specs"].append({"custom_obj": {}})),
    "no list": edit(MODEL, lambda d: d["graph_module"]["signature"].update(input_specs=3)),
    "no mapping": edit(WEIGHTS, lambda d: d.update(config=[1])),
    "deep": entry(MODEL, b'{"graph_module": ' + b"[" * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_could_run_is_refused_in_one_line(kind: str, program: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as raised:
        checked_archive(changed(program, tmp_path, HOSTILE[kind]))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


def test_a_marked_pickle_is_never_unpickled(program: Path, exported: Callable[..., Artifact], tmp_path: Path) -> None:
    """The control: PyTorch alone runs what the archive holds; through our reader it does not."""
    import torch

    from depthport.runtimes.pytorch.program import load_program

    marker = tmp_path / "marker"

    def plant(entries: Entries) -> None:
        edit(WEIGHTS, lambda d: first(d).update(use_pickle=True, path_name="weight_0"))(entries)
        entries["archive/data/weights/weight_0"] = pickle.dumps(Marker(marker))

    path = changed(program, tmp_path, plant)
    with pytest.raises(Exception):  # noqa: B017 - it is no tensor; what it did on the way is the question
        torch.export.load(path)
    assert marker.exists()
    marker.unlink()
    hostile = Artifact(tmp_path, exported("pytorch").manifest)
    with pytest.raises(ArtifactError, match="marked for unpickling"):
        load_program(hostile, torch.device("cpu"))
    assert not marker.exists()


def test_a_damaged_archive_says_so(tmp_path: Path, program: Path) -> None:
    path = tmp_path / "program.pt2"
    for content in (b"", b"PK", program.read_bytes()[:-30]):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="damaged"):
            checked_archive(path)


def test_what_is_read_is_what_was_checked(program: Path) -> None:
    with zipfile.ZipFile(program) as before, zipfile.ZipFile(checked_archive(program)) as after:
        assert {name: before.read(name) for name in before.namelist()} == {n: after.read(n) for n in after.namelist()}
