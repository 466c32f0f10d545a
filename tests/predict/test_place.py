"""Which runtime and device a prediction runs on where nobody says."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from depthport.exporters.core.errors import UnavailableError, UnsupportedError
from depthport.predict import place
from depthport.predict.place import choose_place
from depthport.runtimes.base import Device, Runtime
from tests.support.fake_runtime import Fake


class Page(Fake):
    name = "a-page"

    def probe(self) -> list[Device]:
        software = Device("gpu", "software", off_target="visitors' devices", numerics_only="computed in software")
        return [Device("cpu", "CPU", off_target="visitors' devices"), software]


class Server(Fake):
    name = "server"

    def probe(self) -> list[Device]:
        return [Device("cpu", "CPU"), Device("cuda", "GPU", unavailable="no GPU was found")]


class Card(Fake):
    name = "the-card"

    def probe(self) -> list[Device]:
        return [Device("cpu", "CPU"), Device("cuda", "GPU")]


class Cards(Card):
    name = "cards"

    def groups(self, names: Iterable[str]) -> list[Device]:
        return [Device(name, "GPUs") for name in names if "+" in name]


def chosen(
    monkeypatch: pytest.MonkeyPatch, *found: type[Runtime], runtime: str | None = None, device: str | None = None
) -> str:
    known = {one.name: one() for one in found}
    monkeypatch.setattr(place, "runtimes", lambda: list(known))
    monkeypatch.setattr(place, "get_runtime", known.__getitem__)
    taken = choose_place(Fake.formats[0], runtime, device, None, None)
    return f"{taken.runtime.name}/{taken.device.name}"


def test_what_is_deployed_elsewhere_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Page, Server) == "server/cpu"
    assert chosen(monkeypatch, Page) == "a-page/cpu", "numbers alone come after times of another device"


def test_accelerators_before_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Page, Server, Card) == "the-card/cuda"


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Page, Server, Card, runtime="a-page", device="gpu") == "a-page/gpu"
    assert chosen(monkeypatch, Page, Card, device="cpu") == "the-card/cpu"


def test_several_gpus_are_a_device_where_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Server, Cards, device="cuda:0+1") == "cards/cuda:0+1"
    assert chosen(monkeypatch, Server, Cards) == "cards/cuda"


def test_what_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="server on cuda: no GPU was found"):
        chosen(monkeypatch, Page, Server, device="cuda")
    with pytest.raises(UnsupportedError, match="'server' runs"):
        monkeypatch.setattr(place, "get_runtime", lambda name: Server())
        choose_place("nothing", "server", None, None, None)
