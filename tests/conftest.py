"""Artifacts of the real network at test size, exported once a test run, whichever process of it asks first."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

# Before any library that takes Python's own distutils: setuptools puts its copy in that one's place when it is imported,
# which torch.compile does late, and gives up where half of the other is loaded. A user's worker loads one runtime.
with suppress(ImportError):
    import setuptools  # noqa: F401

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.store import ArtifactStore, Stored

Exported = Callable[..., Artifact]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests compile stays out of the user's cache, in the workers that they start too."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["DEPTHPORT_CACHE"] = str(shared / "compiled")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """One store for the whole run: pytest-xdist's workers share it, and its locks keep them apart."""
    base = tmp_path_factory.getbasetemp()
    return ArtifactStore((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "artifacts")


@pytest.fixture(scope="session")
def exported(store: ArtifactStore) -> Exported:
    """`exported(format, views=..., batch=..., precision=...)`: da3-small at 70×98 with synthetic weights."""

    def make(format: str, **changes: Any) -> Artifact:
        return export_small(store, format, **changes).artifact

    return make


def export_small(store: ArtifactStore, format: str, **changes: Any) -> Stored:
    """da3-small, one view of 70×98, synthetic weights, unless `changes` say otherwise."""
    from depthport.exporters.api import export

    arguments: dict[str, Any] = {"height": 70, "width": 98, "weights": "synthetic:0", **changes}
    return export("da3-small", format=format, store=store, **arguments)
