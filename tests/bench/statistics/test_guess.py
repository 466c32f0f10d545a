"""What a cell's quiet blocks say of the guess by which waiting is taken off the others."""

from __future__ import annotations

import numpy as np
import pytest

from depthport.bench.statistics.guess import DRIFT, ERROR, guess_error


def error(wrong: float, quiet: int, others: int, share: float = 0.2) -> float:
    """Of a cell whose guess is wrong by `wrong` a share, with calm times that vary by 1 %."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(quiet + others)
    doubt = np.concatenate([np.zeros(quiet), np.full(others, share)])
    return guess_error(noise + wrong * doubt, doubt)


@pytest.mark.parametrize(("quiet", "others"), [(0, 20), (2, 20), (20, 2)])
def test_too_few_blocks_of_either_kind_tell_nothing(quiet: int, others: int) -> None:
    assert error(0.0, quiet, others) == ERROR


@pytest.mark.parametrize("wrong", [-3.0, -1.0, 0.0, 0.5])
def test_quiet_blocks_tell_how_wrong_the_guess_is(wrong: float) -> None:
    assert error(wrong, 20, 20) == pytest.approx(np.hypot(wrong, DRIFT / 0.2), rel=0.15)


def test_blocks_that_hardly_waited_more_tell_little() -> None:
    assert error(0.0, 20, 20, share=0.03) == pytest.approx(ERROR / np.sqrt(1 + (ERROR * 0.03 / DRIFT) ** 2), rel=0.2)
