"""One artifact of each format of the real network at test size, exported once a test run."""

from __future__ import annotations

import pytest

from exporters.store import ArtifactStore, Stored


@pytest.fixture(scope="session")
def export_store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


def export_small(store: ArtifactStore, format: str, **changes: object) -> Stored:
    """da3-small, one view of 70×98, synthetic weights."""
    from exporters.api import export

    arguments: dict[str, object] = {"height": 70, "width": 98, "weights": "synthetic:0", **changes}
    return export("da3-small", format=format, store=store, **arguments)  # type: ignore[arg-type]
