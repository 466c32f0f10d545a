"""What a cell's quiet blocks say of the guess by which waiting is taken off the others."""

from __future__ import annotations

import numpy as np
import pytest

from depthport.bench.statistics.guess import DRIFT, ERROR, Guess, shared, wrong_by
from depthport.bench.statistics.samples import FloatArray


def blocks(wrong: float, quiet: int, others: int, share: float = 0.2) -> tuple[FloatArray, FloatArray]:
    """Of a cell whose guess is wrong by `wrong` a share, with calm times that vary by 1 %."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(quiet + others)
    doubt = np.concatenate([np.zeros(quiet), np.full(others, share)])
    return noise + wrong * doubt, doubt


@pytest.mark.parametrize(("quiet", "others"), [(0, 20), (1, 20), (20, 1)])
def test_too_few_blocks_of_either_kind_tell_nothing(quiet: int, others: int) -> None:
    logs, doubt = blocks(1.0, quiet, others)
    assert wrong_by(logs, doubt) == (0.0, ERROR)


@pytest.mark.parametrize("wrong", [-3.0, -1.0, 0.0, 1.8])
def test_quiet_blocks_tell_what_the_guess_is_wrong_by(wrong: float) -> None:
    mean, deviation = wrong_by(*blocks(wrong, 20, 20))
    assert mean == pytest.approx(wrong, abs=0.05) and deviation == pytest.approx(DRIFT / 0.2, rel=0.2)


def test_blocks_that_hardly_waited_more_tell_little() -> None:
    _, deviation = wrong_by(*blocks(0.0, 20, 20, share=0.06))
    assert deviation == pytest.approx(1 / np.hypot(1 / ERROR, 0.06 / DRIFT), rel=0.2)


def test_cells_of_one_process_tell_of_one_guess() -> None:
    told = wrong_by(*blocks(-2.0, 20, 20))
    assert shared(told, Guess()) == pytest.approx(told) == shared(Guess(), told)
    both = shared(told, told)
    assert told.mean > both.mean > -2.05 and both.deviation == pytest.approx(told.deviation / 2**0.5, rel=0.01)
