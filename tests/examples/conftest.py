"""Artifacts and photographs that the examples are run with."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.store import ArtifactStore
from tests.bench.report.conftest import chromium
from tests.conftest import Exported, export_small
from tests.examples.comparison import HEIGHT, WIDTH

__all__ = ["chromium"]


@pytest.fixture(scope="session")
def artifact(exported: Exported) -> Artifact:
    return exported("onnx", views=2)


@pytest.fixture(scope="session")
def pixels(store: ArtifactStore) -> Artifact:
    """It takes photographs of 105x147 as they are."""
    return export_small(store, "onnx", views=2, source_size=(105, 147)).artifact


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two of the network's own size: no example can differ in how it scales."""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photographs")
    paths = [folder / f"{name}.png" for name in ("coffee", "chelsea")]
    for path in paths:
        Image.fromarray(getattr(data, path.stem)()).resize((WIDTH, HEIGHT)).save(path)
    return paths
