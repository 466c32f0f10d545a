"""Rounds restored from a results file."""

from __future__ import annotations

import pytest
from msgspec import structs

from depthport.bench.results.paired import cell_samples, rounds_of
from tests.support.results import h100


@pytest.mark.parametrize(("columns", "expected"), [(("calm", "doubt"), 0.1), (("doubt",), 0.0), (("calm",), 0.0)])
def test_a_guess_counts_only_with_the_waiting_that_it_took_off(columns: tuple[str, ...], expected: float) -> None:
    """A damaged column is left out when a file is read."""
    cell = h100().cells[0]
    timing = cell.timing["device"]
    kept = {name: [{"calm": 0.8, "doubt": 0.1}[name]] * len(timing.samples.ms) for name in columns}
    timing = structs.replace(timing, samples=structs.replace(timing.samples, **kept))
    cell = structs.replace(cell, timing={"device": timing})
    found = {one.doubt for rounds in rounds_of(cell, "device").values() for one in rounds.values()}
    assert found == {expected}
    samples = cell_samples(cell, "device")
    assert samples is not None and {block.doubt for block in samples.blocks} == found
