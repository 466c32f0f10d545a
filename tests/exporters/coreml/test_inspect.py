"""`inspect_package` on packages of every kind: tables that say what the file holds and where fp16 leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.errors import ArtifactError, ExportError, InputError
from depthport.exporters.coreml.functions import first_difference
from depthport.exporters.coreml.inspect import inspect_package
from tests.support.coreml.damage import Edit
from tests.support.coreml.mini import export_mini, use_mini_network


@pytest.fixture(scope="module")
def minis(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("inspect")
    with pytest.MonkeyPatch.context() as patch:
        use_mini_network(patch)
        yield {
            "fp16": export_mini(folder, "fp16", views=3).artifact,
            "images": export_mini(folder, "fp16", views=2, preprocess=True, options={"ane": True}).artifact,
            "functions": export_mini(folder, options={"functions": "2x28x42"}).artifact,
        }


def package(artifact: Any) -> Path:
    return Path(artifact.path / "model.mlpackage")


def by_title(tables: Any) -> dict[str, Any]:
    return {table.title.split(" (")[0]: table for table in tables}


def test_says_where_fp16_leaves(minis: Any) -> None:
    tables = by_title(inspect_package(package(minis["fp16"])))
    leaves = tables["Where fp16 leaves"]
    growth = [float(row[-1]) for row in leaves.rows]
    assert growth == sorted(growth, reverse=True) and growth[0] > 1e-4
    cost = {row[0]: float(row[2]) for row in tables["What fp16 costs by output"].rows}
    assert 0 < cost["depth"] < 0.01 and {"depth", "depth_conf", "extrinsics", "intrinsics"} <= set(cost)
    assert all("×" in row[4] for row in tables["Activation ranges"].rows)
    assert "predicted" in next(t.title for t in inspect_package(package(minis["fp16"]), run=False) if "Engine" in t.title)


def test_other_values_give_other_ranges(minis: Any) -> None:
    image = np.full((1, 3, 3, 42, 56), 100.0, np.float32)
    ranges = [inspect_package(package(minis["fp16"]), arrays=arrays)[-1].rows for arrays in (None, {"image": image})]
    assert ranges[0] != ranges[1]


@pytest.mark.parametrize("kind", ["images", "functions"])
def test_every_interface(minis: Any, kind: str) -> None:
    tables = by_title(inspect_package(package(minis[kind])))
    assert tables["Activation ranges"].rows
    if kind == "functions":
        assert "Where fp16 leaves" not in tables
        other = by_title(inspect_package(package(minis[kind]), function="b1_n2_28x42"))
        assert other["Activation ranges"].rows and "Inputs and outputs of b1_n2_28x42" in other


def test_pixels_of_another_number_of_views(minis: Any) -> None:
    with pytest.raises(InputError, match="3 images for 2 inputs"):
        inspect_package(package(minis["images"]), arrays={"image": np.zeros((1, 3, 42, 56, 3), np.uint8)})


def test_a_package_of_somebody_else(minis: Any, tmp_path: Path) -> None:
    """Its file can be looked at; running it needs inputs that are depthport's."""
    edit = Edit(package(minis["fp16"]), tmp_path)
    description = next(iter(edit.model.description.input))
    shape = description.type.multiArrayType.shape
    function = next(iter(edit.model.mlProgram.functions.values()))
    for owner in (description, function.inputs[0]):
        owner.name = "x"
    for operation in edit.block.operations:
        for parameter in operation.inputs.values():
            for argument in parameter.arguments:
                if argument.name == "image":
                    argument.name = "x"
    assert list(shape) == [1, 3, 3, 42, 56]
    assert inspect_package(edit.save())


def test_damage_is_one_line(minis: Any, tmp_path: Path) -> None:
    edit = Edit(package(minis["fp16"]), tmp_path)
    (edit.path / "Data/com.apple.CoreML/weights/weight.bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match="missing or empty"):
        inspect_package(edit.path)


def test_a_merge_that_changes_a_function_is_found(minis: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from depthport.exporters.coreml import functions as coreml_functions
    from depthport.exporters.coreml.mil.package import read_package

    main = read_package(package(minis["functions"])).function("main")
    other = read_package(package(minis["functions"])).function("b1_n2_28x42")
    assert first_difference(main, main) is None
    assert first_difference(main, other) is not None
    edit = Edit(package(minis["fp16"]), tmp_path)
    norm = edit.operations("layer_norm")[0]
    values = edit.value(norm, "epsilon").floats.values or edit.value(norm, "epsilon").bytes
    if hasattr(values, "values"):
        values.values = np.array([1e-3], np.float16).tobytes()
    else:
        values[0] = 1e-3
    changed = read_package(edit.save()).function()
    assert "layer_norm" in str(first_difference(read_package(package(minis["fp16"])).function(), changed))
    monkeypatch.setattr(coreml_functions, "first_difference", lambda a, b: "its operations differ")
    use_mini_network(monkeypatch)
    with pytest.raises(ExportError, match="changed when packages were merged"):
        export_mini(tmp_path / "store", options={"functions": "2x28x42"})


def test_tables_are_data(minis: Any) -> None:
    tables = inspect_package(package(minis["fp16"]), run=False)
    assert json.loads(json.dumps([t.to_json() for t in tables]))
    assert tables[0].title == "Package"
