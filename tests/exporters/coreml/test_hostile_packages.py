"""Packages made to crash, hang or exhaust the reader: each is one line, soon, in little memory."""

from __future__ import annotations

import json
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.errors import ArtifactError, DepthportError
from depthport.exporters.coreml.mil.ane import predict
from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.package import read_package
from tests.support.coreml.damage import MODEL, WEIGHTS, Edit
from tests.support.coreml.mini import export_mini, use_mini_network

SIZE = (28, 42)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini network's package, int8: constants of every kind."""
    with pytest.MonkeyPatch.context() as patch:
        use_mini_network(patch)
        artifact = export_mini(tmp_path_factory.mktemp("hostile"), views=3, size=SIZE, options={"compress": "int8"})
    return artifact.artifact.path / "model.mlpackage"


@pytest.fixture
def package(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / source.name))


@pytest.fixture
def edit(source: Path, tmp_path: Path) -> Edit:
    return Edit(source, tmp_path)


def use(path: Path) -> None:
    """Everything that is done with a package."""
    function = read_package(path).function()
    predict(function)
    Interpreter(function).run({"image": np.zeros((1, 3, 3, *SIZE), np.float32)})


def refused(path: Path, match: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match=match) as caught:
            use(path)
        assert "\n" not in str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def nested(field: int, inner: bytes, depth: int) -> bytes:
    for _ in range(depth):
        inner = varint(field << 3 | 2) + varint(len(inner)) + inner
    return inner


def test_the_package_itself_is_fine(source: Path) -> None:
    use(source)


@pytest.mark.parametrize("where", ["../../outside.mlmodel", "/etc/hostname"])
def test_model_file_outside_the_package(package: Path, where: str) -> None:
    manifest = json.loads((package / "Manifest.json").read_text(encoding="utf-8"))
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = where
    (package / "Manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    refused(package, "outside itself")


def test_manifest_of_brackets(package: Path) -> None:
    (package / "Manifest.json").write_text("[" * 1_000_000, encoding="utf-8")
    refused(package, "not a Core ML package")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("file", ["Manifest.json", MODEL, WEIGHTS])
def test_a_pipe_is_not_waited_for(package: Path, file: str) -> None:
    (package / file).unlink()
    os.mkfifo(package / file)
    refused(package, "missing|no model file")


def test_constant_nested_without_end(package: Path, source: Path) -> None:
    """A list in a list in a list: what a recursive reader overflows its stack on."""
    from coremltools.proto import Model_pb2

    model = Model_pb2.Model()
    model.ParseFromString((source / MODEL).read_bytes())
    function = next(iter(model.mlProgram.functions.values()))
    block = function.block_specializations[function.opset]
    value = next(op for op in block.operations if op.type == "const").attributes["val"]
    value.Clear()
    innermost = value
    for _ in range(60):
        innermost = innermost.immediateValue.list.values.add()
    (package / MODEL).write_bytes(model.SerializeToString())
    refused(package, "nested more than")


@pytest.mark.parametrize("depth", [100, 100_000])
def test_message_nested_without_end(package: Path, depth: int) -> None:
    (package / MODEL).write_bytes(b"\x08\x08" + nested(502, b"", depth))
    refused(package, "damaged|no function|not an ML Program|version")


def test_a_billion_dimensions(edit: Edit) -> None:
    dimensions = edit.operations("gelu")[0].outputs[0].type.tensorType
    for _ in range(1000):
        dimensions.dimensions.add().constant.size = 1
    dimensions.rank = len(dimensions.dimensions)
    refused(edit.save(), "dimensions, more than")


@pytest.mark.parametrize("size", [(1 << 64) - 1, 1 << 62])
def test_declared_size(edit: Edit, size: int) -> None:
    edit.operations("gelu")[0].outputs[0].type.tensorType.dimensions[-1].constant.size = size
    refused(edit.save(), "negative dimension|machine's memory")


@pytest.mark.parametrize("size", [(1 << 64) - 4, 0, 1 << 40])
def test_declared_size_of_a_weight(edit: Edit, size: int) -> None:
    constant = next(op for op in edit.constants.values() if op.attributes["val"].HasField("blobFileValue"))
    for type_ in (constant.attributes["val"].type, constant.outputs[0].type):
        type_.tensorType.dimensions[0].constant.size = size
    refused(edit.save(), "negative dimension|truncated|can't be computed|machine's memory|declared")


@pytest.mark.parametrize("offset", [(1 << 64) - 64, 1 << 62, 63, 1])
def test_offset_beyond_the_weights(edit: Edit, offset: int) -> None:
    constant = next(op for op in edit.constants.values() if op.attributes["val"].HasField("blobFileValue"))
    constant.attributes["val"].blobFileValue.offset = offset
    refused(edit.save(), "truncated|no constant at byte")


@pytest.mark.parametrize(("at", "value"), [(8, (1 << 64) - 1), (16, (1 << 64) - 1), (16, 1 << 40), (8, 1)])
def test_record_beyond_the_weights(package: Path, at: int, value: int) -> None:
    """A record of the weight file that says its data is huge, elsewhere, or next to nothing."""
    data = bytearray((package / WEIGHTS).read_bytes())
    data[64 + at : 72 + at] = value.to_bytes(8, "little")
    (package / WEIGHTS).write_bytes(data)
    refused(package, "truncated")


def test_result_larger_than_declared_is_never_made(edit: Edit) -> None:
    """Multiplying a column by a row of a million: refused before a terabyte is asked for."""
    operation = edit.block.operations.add()
    operation.CopyFrom(edit.operations("gelu")[0])
    operation.type = "tile"
    operation.outputs[0].name = "bomb"
    reps = edit.block.operations.add()
    reps.CopyFrom(next(op for op in edit.constants.values() if "axes" in op.outputs[0].name))
    reps.outputs[0].name = "reps"
    literal = reps.attributes["val"]
    rank = len(operation.outputs[0].type.tensorType.dimensions)
    for type_ in (literal.type, reps.outputs[0].type):
        type_.tensorType.dimensions[0].constant.size = rank
    del literal.immediateValue.tensor.ints.values[:]
    literal.immediateValue.tensor.ints.values.extend([1 << 20] * rank)
    operation.inputs["reps"].arguments.add().name = "reps"
    kept = [type(operation)() for _ in edit.block.operations]
    order = [*edit.block.operations[:-2], edit.block.operations[-1], edit.block.operations[-2]]
    for copy, original in zip(kept, order, strict=True):
        copy.CopyFrom(original)
    del edit.block.operations[:]
    edit.block.operations.extend(kept)
    refused(edit.save(), "bomb.*but computes shape")


def test_a_cycle_of_operations(edit: Edit) -> None:
    gelu = edit.operations("gelu")[0]
    gelu.inputs["x"].arguments[0].name = gelu.outputs[0].name
    refused(edit.save(), "which nothing before it computes")


def test_an_operation_without_results(edit: Edit) -> None:
    del edit.operations("gelu")[0].outputs[:]
    refused(edit.save(), "has no output")


def test_a_constant_without_a_value(edit: Edit) -> None:
    next(iter(edit.constants.values())).attributes["val"].Clear()
    refused(edit.save(), "no supported value")


def flip(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start : start + 8] = rng.randbytes(8)


def cut_out(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 64)]


def repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randrange(1, 256)]
    data[start:start] = part


@pytest.mark.parametrize("change", [flip, overwrite, cut_out, repeat], ids=lambda change: change.__name__)
def test_random_damage(package: Path, change: Callable[[bytearray, random.Random], None]) -> None:
    """Damaged anywhere, a model is refused in one line or, where the damage hit nothing that counts, runs."""
    original = (package / MODEL).read_bytes()
    seen: dict[str, int] = {}
    for seed in range(int(os.environ.get("DEPTHPORT_FUZZ", "60"))):
        data = bytearray(original)
        change(data, random.Random(seed))
        (package / MODEL).write_bytes(data)
        outcome: Any = "runs"
        try:
            use(package)
        except DepthportError as error:
            outcome = type(error).__name__
            assert "\n" not in str(error), seed
        seen[outcome] = seen.get(outcome, 0) + 1
    assert seen.get("ArtifactError", 0) > 0, seen
