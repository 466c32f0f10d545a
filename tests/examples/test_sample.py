"""`depthport sample`: one source with `examples/`, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from depthport.bench.cli.app import app
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.store import ArtifactStore
from depthport.predict.sample import EXAMPLES, SAMPLES, fill, write_sample
from tests.conftest import Exported


@pytest.mark.parametrize("kind", SAMPLES)
def test_an_example_is_what_a_sample_of_its_defaults_would_be(kind: str, store: ArtifactStore) -> None:
    """`examples/` and `depthport sample` have one source: no line of one is not the other's."""
    from dataclasses import replace

    from depthport.exporters.api import describe, prepare
    from depthport.exporters.registry import get_exporter

    size = {"source_size": (504, 504)} if SAMPLES[kind].uint8 else {}
    request = prepare("da3-small", format="onnx", weights="synthetic:0", **size)  # type: ignore[arg-type]
    made = describe(replace(request), get_exporter("onnx"))
    text = (EXAMPLES / SAMPLES[kind].folder / SAMPLES[kind].filled).read_text(encoding="utf-8")
    assert fill(text, SAMPLES[kind].write(made)) == text and "depthport:begin" in text


def test_the_command_and_what_it_refuses(
    artifact: Artifact, exported: Exported, store: ArtifactStore, tmp_path: Path
) -> None:
    out = tmp_path / "sample"
    words = ["sample", str(artifact.path), "--for", "triton", "--out", str(out), "--json"]
    files = json.loads(CliRunner().invoke(app, words).stdout)["files"]
    assert sorted(map(Path, files)) == sorted(path for path in out.rglob("*") if path.is_file())
    refused = CliRunner().invoke(app, words).exception
    assert isinstance(refused, UsageError) and "is not an empty folder" in str(refused)
    refused = CliRunner().invoke(app, ["sample", str(artifact.path), "--for", "fortran"]).exception
    assert isinstance(refused, UsageError) and "unknown sample 'fortran'" in str(refused)
    with pytest.raises(UnsupportedError, match="samples run ONNX files, not pytorch"):
        write_sample(exported("pytorch"), "python", tmp_path / "a")
    with pytest.raises(UnsupportedError, match="export with --source-size"):
        write_sample(artifact, "cpp", tmp_path / "a")
    assert not (tmp_path / "a").exists()
