"""Blocks that are run again."""

from __future__ import annotations

from depthport.bench.measure.repeats import ATTEMPTS, LATEST, Repeats


def test_a_block_that_waited_is_run_again_until_it_is_calm_or_was_run_often_enough() -> None:
    repeats = Repeats()
    assert not repeats.again(1.0, 1) and not repeats.again(None, 1)
    assert repeats.again(0.5, 1) and not repeats.again(0.99, 2)
    assert not repeats.again(0.5, ATTEMPTS)


def test_nothing_is_run_again_where_others_never_pause_until_they_do() -> None:
    repeats = Repeats()
    asked = [repeats.again(0.5, 1) for _ in range(2 * LATEST)]
    assert asked[0] and not any(asked[LATEST:])
    for _ in range(LATEST):
        repeats.again(1.0, 1)
    assert repeats.again(0.5, 1)


def test_the_paper_protocol_runs_every_block_once() -> None:
    assert not Repeats(attempts=1).again(0.5, 1)
