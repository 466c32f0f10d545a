"""Artifacts of the real network at test size, exported once a test run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from exporters.artifact import Artifact
from exporters.store import ArtifactStore

THREADS = 1
"""Intra-op threads in tests: workers of pytest-xdist share the cores."""

Exported = Callable[..., Artifact]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
def exported(store: ArtifactStore) -> Exported:
    """`exported(format, views=..., batch=..., precision=...)`: da3-small at 70×98 with synthetic weights."""
    from exporters.api import export

    @cache
    def make(format: str, views: int = 1, batch: int = 1, precision: str = "fp32") -> Artifact:
        return export(
            "da3-small",
            format=format,
            precision=precision,
            batch=batch,
            views=views,
            height=70,
            width=98,
            weights="synthetic:0",
            store=store,
        ).artifact

    return make
