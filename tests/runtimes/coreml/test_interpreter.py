"""Runtime `coreml-interpreter`: the contract, and that it gives what a Mac's Core ML would if it computed as declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.runtimes.base import LoadOptions
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.coreml.interpreter import CoreMLInterpreterRuntime
from tests.runtimes.coreml.test_runtime import FakeMac, needs_converter, pixels, run


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The mini network as an artifact, by kind."""
    from tests.support.coreml.mini import mini_artifacts

    return mini_artifacts(tmp_path_factory.mktemp("coreml"))


@needs_converter
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_of_the_interpreter(check: Any, artifacts: Any, tmp_path: Path) -> None:
    check(Subject(CoreMLInterpreterRuntime(), artifacts["ane"], "cpu", LoadOptions(mode="ane")), tmp_path)


@needs_converter
@pytest.mark.parametrize("kind", ["fp32", "ane", "images", "functions"])
def test_the_interpreter_gives_what_a_mac_would(kind: str, artifacts: Any) -> None:
    artifact = artifacts[kind]
    with run(artifact, FakeMac(), "cpu") as mac, CoreMLInterpreterRuntime().load(artifact, "cpu") as ours:
        ours.bind(pixels(artifact))
        ours.run()
        ours.synchronize()
        expected, found = mac.outputs(), ours.outputs()
    assert found.keys() == expected.keys()
    # An app hands fp16 over as fp16, the interpreter as it computed it.
    assert all(np.allclose(found[name], expected[name], rtol=5e-3, atol=5e-3) for name in found)


def test_the_interpreter_times_nothing() -> None:
    (device,) = CoreMLInterpreterRuntime().probe()
    assert device.numerics_only and [mode.name for mode in device.modes] == ["plain", "ane"]
