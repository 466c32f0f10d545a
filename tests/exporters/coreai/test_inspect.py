"""What `depthport inspect` says of an asset."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthport.exporters.coreai.divergence import Step, first_diverging, summary
from tests.conftest import Exported


def step(name: str, relative: float | None, *users: str, status: str = "PASS") -> Step:
    return Step(name, "mul", "backbone", status, relative, users)


def test_the_first_diverging_operation_is_read_by_others_that_diverge() -> None:
    calm, mislabelled = step("a", 1e-6, "b"), step("b", 1.0, "c")
    wrong, after = step("d", 0.3, "e"), step("e", 0.4)
    assert first_diverging([calm, mislabelled, step("c", 2e-6), step("c2", 3e-6)]) is None
    assert first_diverging([calm, mislabelled, step("c", 2e-6), wrong, after]) == wrong
    assert first_diverging([step("x", None, status="EXCLUDED"), calm]) is None


def test_what_was_not_compared_is_counted_by_its_reason() -> None:
    found = [step("a", 0.0), step("b", None, status="EXCLUDED"), step("c", None, status="EXCLUDED")]
    assert summary(found) == {"compared": 1, "not compared (excluded)": 2}


@pytest.mark.usefixtures("packages")
def test_the_file_alone(exported: Exported) -> None:
    from depthport.exporters.coreai.exporter import CoreAIExporter

    artifact = exported("coreai", views=3)
    tables = {table.title: table for table in CoreAIExporter().inspect(artifact, run=False)}
    facts = set(tables["Asset"].rows)
    assert {("oldest system", "iOS27 and macOS27"), ("depthport.model", "da3-small")} <= facts
    ways = {(way, name) for way, name, _ in tables["Inputs and outputs of main"].rows}
    assert ("in", "image") in ways and ("out", "reference_view") in ways
    assert tables["Constants by type"].rows[0][0] == "Float32"
    assert ("conv2d", "31") in tables["Operations"].rows
    # The same of the file without its manifest.
    assert CoreAIExporter().inspect_package(artifact.path / "model.aimodel") == tuple(tables.values())


@pytest.mark.usefixtures("packages")
@pytest.mark.slow
def test_against_the_network(exported: Exported) -> None:
    from depthport.exporters.coreai.exporter import CoreAIExporter

    tables = {table.title: table for table in CoreAIExporter().inspect(exported("coreai", views=3))}
    assert ("same graph", "yes") in tables["Graph difference"].rows
    assert "First diverging operation: none." in tables["Intermediates against PyTorch, worst first"].note


@pytest.mark.usefixtures("packages")
def test_weights_that_are_not_here_leave_the_file_to_speak(exported: Exported) -> None:
    from dataclasses import replace

    from depthport.exporters.core.artifact import Artifact
    from depthport.exporters.coreai.inspect import inspect_asset

    artifact = exported("coreai", views=3)
    gone = replace(artifact.manifest, weights=replace(artifact.manifest.weights, sha256="f" * 64))
    *_, last = inspect_asset(Artifact(artifact.path, gone))
    assert "not compared: weights synthetic:0 are not the ones" in last.rows[0][0]


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("content", "complaint"), [(b"", "readable function|holds no function|can't be read"), (None, "is not a Core AI asset")]
)
def test_damage_is_one_line(content: bytes | None, complaint: str, tmp_path: Path) -> None:
    from depthport.exporters.core.errors import ArtifactError
    from depthport.exporters.coreai.inspect import inspect_path

    asset = tmp_path / "model.aimodel"
    asset.mkdir()
    if content is not None:
        (asset / "metadata.json").write_text('{"assetVersion": "2.0"}', encoding="utf-8")
        (asset / "main.mlirb").write_bytes(content)
    with pytest.raises(ArtifactError, match=complaint) as caught:
        inspect_path(asset)
    assert "\n" not in str(caught.value)
