"""Whether a machine may be measured on, and that two fleets do not measure on one at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from depthport.bench.fleet.conditions import NotNow, fit, hindrance
from depthport.bench.fleet.description import Conditions
from depthport.bench.fleet.progress import Told, Work, read_line
from depthport.bench.results.sections import Reading

QUIET = {"on_battery": False, "cpu_temperature_c": 50.0, "foreign_cpu_share": 0.02, "gpus": [{"index": 0}]}


@pytest.mark.parametrize(
    ("seen", "conditions", "reason"),
    [
        (QUIET, Conditions(), None),
        ({}, Conditions(), None),
        ({**QUIET, "on_battery": True}, Conditions(), "on battery: plug it in"),
        ({**QUIET, "on_battery": True}, Conditions(on_battery=True), None),
        ({**QUIET, "cpu_temperature_c": 91.2}, Conditions(), "hot: 91 °C, over 85 °C"),
        ({**QUIET, "gpus": [{"temperature_c": 90}]}, Conditions(), "hot: 90 °C, over 85 °C"),
        ({**QUIET, "foreign_cpu_share": 0.5}, Conditions(), "busy: others use 50% of its CPUs, over 25%"),
        ({**QUIET, "foreign_cpu_share": 0.5}, Conditions(max_load=None), None),
        (
            {**QUIET, "gpus": [{"index": 1, "utilization_percent": 80}]},
            Conditions(),
            "busy: others use 80% of its GPU 1, over 25%",
        ),
    ],
)
def test_hindrances(seen: Reading, conditions: Conditions, reason: str | None) -> None:
    assert hindrance(seen, conditions) == reason


def test_a_machine_is_waited_for_and_then_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEPTHPORT_CACHE", str(tmp_path))
    now, told = [0.0], list[str]()
    looks: Iterator[Reading] = iter([{"on_battery": True}, {"on_battery": True}, {}])

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with fit(Conditions(), told.append, observe=lambda: next(looks), sleep=sleep, clock=lambda: now[0]):
        assert told == ["on battery: plug it in"] * 2
    with (
        pytest.raises(NotNow, match=r"on battery.*waited 12 s"),
        fit(Conditions(wait_s=12), told.append, observe=lambda: {"on_battery": True}, sleep=sleep, clock=lambda: now[0]),
    ):
        pytest.fail("it was measured on battery")


def test_two_fleets_do_not_measure_on_one_machine_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEPTHPORT_CACHE", str(tmp_path))
    with (
        fit(Conditions(), print, observe=Reading),
        pytest.raises(NotNow, match="busy: another fleet measures on it"),
        fit(Conditions(wait_s=0), print, observe=Reading),
    ):
        pytest.fail("both measured")
    with fit(Conditions(wait_s=0), print, observe=Reading):
        pass


def test_an_error_while_it_is_held_is_that_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from filelock import Timeout

    monkeypatch.setenv("DEPTHPORT_CACHE", str(tmp_path))
    with pytest.raises(Timeout), fit(Conditions(), print, observe=Reading):
        raise Timeout("another lock")


def test_progress_is_a_line_now_and_then() -> None:
    said: list[Work] = []
    observer = Told(said.append).observer("job")
    observer.stage("measuring")
    for used in range(101):
        observer.budget(used, 100)
    assert said[0] == Work("job", "measuring", "measuring") and 15 <= len(said) <= 21
    assert [read_line(work.line()) for work in said] == said


@pytest.mark.parametrize("line", ["", "{", "3", "[]", '{"state": "x"}', '{"state": null}', "[" * 100_000])
def test_what_is_no_progress_is_none(line: str) -> None:
    assert read_line(line) is None


def test_what_a_machine_tells_is_cleaned() -> None:
    told = read_line('{"job": "a\\u001b[2J", "state": "measuring", "text": "x\\u202ey", "share": 9}')
    assert told == Work("a[2J", "measuring", "xy", None)
