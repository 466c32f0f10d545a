"""Readers on seeded damage: what can't be read is one typed error of one line (tests/support/trials/fuzz.py has more)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.trials.fuzz import READERS, fuzz, needed

INPUTS = {"results": 25, "core-ml": 60, "model.yaml": 40}


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_raises_typed_errors_alone(reader: str, tmp_path: Path) -> None:
    if (package := needed(reader)) is not None:
        pytest.skip(f"{package} is not installed")
    count = fuzz(reader, tmp_path, seed=0, inputs=INPUTS.get(reader, 200))
    assert not count.faults, count.faults
    assert count.inputs == count.read + count.refused and count.read
