"""A damaged package is one line that says what is wrong, never a stack of somebody else's frames."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.package import read_package
from tests.support.coreml.damage import MODEL, WEIGHTS, Edit


@pytest.fixture(scope="module")
def clean(converted: Any) -> Any:
    return converted("fp32", views=3)


@pytest.fixture
def edit(clean: Any, tmp_path: Path) -> Edit:
    return Edit(clean.path, tmp_path)


def refused(path: Path, match: str, run: bool = False) -> None:
    with pytest.raises(ArtifactError, match=match) as caught:
        function = read_package(path).function()
        if run:
            Interpreter(function)
    assert "\n" not in str(caught.value)


def test_weights_truncated(edit: Edit) -> None:
    file = edit.path / WEIGHTS
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    refused(edit.path, "truncated")


def test_weights_missing(edit: Edit) -> None:
    (edit.path / WEIGHTS).unlink()
    refused(edit.path, "missing")


def test_weights_of_another_model(edit: Edit) -> None:
    file = edit.path / WEIGHTS
    data = bytearray(file.read_bytes())
    data[64:68] = b"\0\0\0\0"
    file.write_bytes(data)
    refused(edit.path, "belongs to another model")


def test_operation_removed(edit: Edit) -> None:
    victim = next(i for i, op in enumerate(edit.block.operations) if op.type == "gelu")
    del edit.block.operations[victim]
    refused(edit.save(), "which nothing before it computes", run=True)


def test_operations_out_of_order(edit: Edit) -> None:
    last = edit.block.operations.pop()
    kept = [type(last)() for _ in edit.block.operations]
    for copy, operation in zip(kept, edit.block.operations, strict=True):
        copy.CopyFrom(operation)
    del edit.block.operations[:]
    edit.block.operations.extend([last, *kept])
    refused(edit.save(), "which nothing before it computes", run=True)


def test_value_computed_twice(edit: Edit) -> None:
    edit.block.operations.add().CopyFrom(edit.operations("relu")[0])
    refused(edit.save(), "computed twice", run=True)


@pytest.mark.parametrize("version", [0, 5, 99])
def test_wrong_version(edit: Edit, version: int) -> None:
    edit.model.specificationVersion = version
    refused(edit.save(), f"specification version {version}")


def test_not_an_ml_program(edit: Edit) -> None:
    edit.model.neuralNetwork.SetInParent()
    refused(edit.save(), "not an ML Program")


def test_described_output_of_another_shape(edit: Edit) -> None:
    edit.model.description.output[0].type.multiArrayType.shape[-1] += 1
    refused(edit.save(), "is described as")


def test_declared_shape_that_is_not_computed(clean: Any, edit: Edit) -> None:
    operation = edit.operations("gelu")[0]
    operation.outputs[0].type.tensorType.dimensions[-1].constant.size += 1
    function = read_package(edit.save()).function()
    with pytest.raises(ArtifactError, match=r"is declared fp32\[.*\] but computes shape"):
        Interpreter(function).run(clean.inputs)


def test_declared_type_that_is_mixed(edit: Edit) -> None:
    edit.operations("gelu")[0].outputs[0].type.tensorType.dataType = 10
    refused(edit.save(), "mixes fp16 and fp32", run=True)


def test_no_manifest(edit: Edit) -> None:
    (edit.path / "Manifest.json").write_text(json.dumps({"rootModelIdentifier": "x"}), encoding="utf-8")
    refused(edit.path, "not a Core ML package")


def test_no_folder(tmp_path: Path) -> None:
    refused(tmp_path / "absent.mlpackage", "not a Core ML package")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.5, 0.73, 0.9, 0.999])
def test_model_cut_anywhere(clean: Any, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.mlpackage"
    shutil.copytree(clean.path, path)
    data = (path / MODEL).read_bytes()
    (path / MODEL).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ArtifactError) as caught:
        read_package(path)
    assert "\n" not in str(caught.value)
