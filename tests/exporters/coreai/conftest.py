"""Skipped as a whole, but for what needs no framework, without torch or Core AI's packages."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

NEEDED = ("torch", "coreai", "coreai_torch", "depth_anything_3")
missing = [name for name in NEEDED if find_spec(name) is None]


@pytest.fixture(scope="session")
def packages() -> None:
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    import torch

    torch.set_num_threads(1)
