"""A GPU's context begun beside the import of a framework, against a driver that notes what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from depthport.exporters.core import nvidia
from depthport.runtimes.pytorch.runtime import PyTorchRuntime


class Driver:
    """Of one GPU."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def cuInit(self, flags: int) -> int:
        self.asked.append("init")
        return 0

    def cuDeviceGet(self, device: object, ordinal: int) -> int:
        self.asked.append(f"device {ordinal}")
        return 0 if ordinal == 0 else 101

    def cuDevicePrimaryCtxRetain(self, context: object, device: object) -> int:
        self.asked.append("retain")
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver()
    monkeypatch.setattr(nvidia, "_driver", lambda: made)
    nvidia.begin_context.cache_clear()
    yield made
    nvidia.begin_context.cache_clear()


@pytest.mark.parametrize(
    ("ordinal", "asked"), [(0, ["init", "device 0", "retain"]), (1, ["init", "device 1"]), (None, ["init"])]
)
def test_what_the_driver_is_asked(driver: Driver, ordinal: int | None, asked: list[str]) -> None:
    nvidia.begin_context(ordinal).join()
    nvidia.begin_context(ordinal).join()
    assert driver.asked == asked, "once a process, and a failure is the framework's to tell"


def test_no_driver_is_no_failure(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(nvidia, "_driver", lambda: None)
    nvidia.begin_context(0).join()
    assert not failed and not driver.asked


@pytest.mark.parametrize(
    ("device", "ordinal"), [("cuda", 0), ("cuda:2", 2), (None, None), ("cpu", "nothing"), ("cuda:0+1", "nothing")]
)
def test_devices_whose_context_pytorch_needs(
    monkeypatch: pytest.MonkeyPatch, device: str | None, ordinal: int | str | None
) -> None:
    begun: list[int | str | None] = []
    monkeypatch.setattr("depthport.runtimes.pytorch.runtime.begin_context", begun.append)
    PyTorchRuntime().begin(device)
    assert (begun or ["nothing"]) == [ordinal], "several GPUs have processes of their own"
