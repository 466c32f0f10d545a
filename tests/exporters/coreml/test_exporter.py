"""The exporter as a whole: files, manifest, checks, several functions, what a failed check leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.errors import ExportError
from depthport.exporters.coreml.exporter import CHECKS, PACKAGE
from depthport.exporters.coreml.mil.package import read_package
from tests.support.coreml.damage import Edit, reciprocal_epsilon
from tests.support.coreml.mini import export_mini, use_mini_network


@pytest.fixture(autouse=True)
def mini(monkeypatch: pytest.MonkeyPatch) -> None:
    use_mini_network(monkeypatch)


def test_several_functions_share_their_weights(tmp_path: Path) -> None:
    stored = export_mini(tmp_path, options={"functions": "2x28x42"})
    artifact = stored.artifact
    artifact.verify()
    package = read_package(artifact.path / PACKAGE)
    assert set(package.functions) == {"main", "b1_n2_28x42"} and package.specification == 9
    manifest = artifact.manifest
    assert manifest.extra["functions"] == {"main": "1x1x42x56", "b1_n2_28x42": "1x2x28x42"}
    assert manifest.target == {"oldest_system": "iOS18", "specification": 9}
    assert manifest.extra["shims"] == ["reciprocal", "alias", "scalars"]
    for name in package.functions:
        assert manifest.extra["checks"][name]["conversion"]["depth"]["max_over_std"] < 1e-4
    both = sum(f.stat().st_size for f in (artifact.path / PACKAGE).rglob("weight.bin"))
    elements = sum(
        v.size for v in package.function("main").constants().values() if isinstance(v, np.ndarray) and v.size > 64
    )
    assert both < 1.1 * 4 * elements
    checks = json.loads((artifact.path / CHECKS).read_text(encoding="utf-8"))
    assert checks["neural_engine"]["kind"] == "predicted"
    assert {p.name for p in artifact.path.iterdir() if p.is_dir()} == {PACKAGE}
    assert export_mini(tmp_path, options={"functions": "2x28x42"}).origin == "cached"


def test_metadata_says_what_it_is(tmp_path: Path) -> None:
    artifact = export_mini(tmp_path, "fp16", views=2, preprocess=True, options={"compress": "int8", "ane": True}).artifact
    package = read_package(artifact.path / PACKAGE)
    meta = package.metadata
    assert "SYNTHETIC WEIGHTS" in meta["description"] and "2 view(s) of 42x56" in meta["description"]
    assert meta["depthport.weights"] == "synthetic:0" and meta["licence"] == "none (synthetic)"
    assert json.loads(meta["depthport.interface"]) == artifact.manifest.extra["interface"]
    inputs, outputs = package.features["main"]
    assert [f.kind for f in inputs] == ["image", "image"] and all(f.description for f in (*inputs, *outputs))
    assert artifact.manifest.extra["interface"]["host"] == ["extrinsics", "intrinsics", "reference_view"]
    compression = artifact.manifest.extra["checks"]["main"]["compression"]
    assert compression["kind"] == "int8" and compression["worst_relative_rms"] < 0.02
    assert [s.dtype for s in artifact.manifest.inputs] == ["uint8"]


def test_a_wrong_conversion_is_not_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here: a converter with a defect like coremltools 9.0's reciprocal."""
    from depthport.exporters.coreml import exporter as coreml_exporter
    from depthport.exporters.coreml.convert import save

    def defective(model: Any, path: Path) -> None:
        save(model, path.with_name("clean.mlpackage"))
        edit = Edit(path.with_name("clean.mlpackage"), path.parent / "edited")
        reciprocal_epsilon(edit)
        edit.save().rename(path)

    monkeypatch.setattr(coreml_exporter, "save", defective)
    with pytest.raises(ExportError, match="does not compute the network") as caught:
        export_mini(tmp_path)
    assert "\n" not in str(caught.value)
    assert not [p for p in tmp_path.iterdir() if p.name != ".locks"], "an unfinished export was left behind"


def test_what_was_verified_is_said(tmp_path: Path) -> None:
    exact, half, unseen = (
        export_mini(tmp_path, precision, options=options).artifact.manifest.extra
        for precision, options in (("fp32", {}), ("fp16", {}), ("fp32", {"verify": False}))
    )
    assert exact["verified"].startswith("run in the interpreter") and "fp16" not in exact["verified"]
    assert "rounding of fp16 apart" in half["verified"] and "verified" not in unseen
    assert set(exact["checks"]["main"]["seconds"]) == {"conversion", "verification"}
    assert set(unseen["checks"]["main"]) == {"seconds"}


def test_islands_follow_every_function(tmp_path: Path) -> None:
    """One view alone selects none; a function of three views does, in fp32."""
    artifact = export_mini(tmp_path, "fp16", options={"functions": "3x42x56"}).artifact
    assert "reference" in str(artifact.manifest.options["islands"])
    function = read_package(artifact.path / PACKAGE).function("b1_n3_42x56")
    types = function.types()
    argmin = next(op for op in function.operations if op.type == "reduce_argmin")
    assert types[argmin.inputs["x"][0].name or ""].dtype == "fp32"
    assert artifact.manifest.extra["interfaces"]["b1_n3_42x56"]["host"] == []
