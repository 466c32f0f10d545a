"""One scene over several cards, under the contract of every session; on CPUs, which exchange through gloo."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")
if not torch.distributed.is_available():
    pytest.skip("this torch has no torch.distributed", allow_module_level=True)

from depthport.exporters.core.errors import RunError, UnavailableError, UnsupportedError, UsageError  # noqa: E402
from depthport.runtimes.base import LoadOptions  # noqa: E402
from depthport.runtimes.pytorch.cards.session import CardsSession  # noqa: E402
from depthport.runtimes.pytorch.program import load_fused  # noqa: E402
from depthport.runtimes.pytorch.runtime import PyTorchRuntime  # noqa: E402
from tests.conftest import Exported  # noqa: E402

VIEWS = 3


@pytest.fixture(scope="module")
def artifact(exported: Exported) -> Artifact:
    return exported("pytorch", views=VIEWS, precision="fp16", target="cuda")


@pytest.fixture(scope="module")
def session(artifact: Artifact) -> Iterator[CardsSession]:
    with CardsSession(artifact, "cpu:0+1", LoadOptions(), ["cpu", "cpu"]) as session:
        assert isinstance(session, CardsSession)
        yield session


def image(artifact: Artifact, seed: int) -> np.ndarray:
    shape = [int(size) for size in artifact.manifest.inputs[0].shape]
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def infer(session: CardsSession, given: np.ndarray) -> dict[str, np.ndarray]:
    session.bind({"image": given})
    session.run()
    session.synchronize()
    return session.outputs()


def test_two_cards_give_what_one_gives(session: CardsSession, artifact: Artifact) -> None:
    network = load_fused(artifact, torch.device("cpu"))
    for seed in range(2):
        given = image(artifact, seed)
        found = infer(session, given)
        with torch.inference_mode():
            expected = dict(zip(network.output_names, network(torch.from_numpy(given)), strict=True))
        for name, value in expected.items():
            difference = np.linalg.norm(found[name] - value.numpy()) / np.linalg.norm(value.numpy() + 1e-30)
            assert difference < 2e-3, name
        assert np.array_equal(found["reference_view"], expected["reference_view"].numpy())


def test_placement_says_who_has_what(session: CardsSession, artifact: Artifact) -> None:
    infer(session, image(artifact, 0))
    placement = session.placement()
    assert placement.details["views_by_card"] == [2, 1] and not placement.fallback
    assert [card["views"] for card in placement.details["cards"]] == [2, 1]


def test_a_card_that_dies_is_a_failed_run_and_ends_the_others(artifact: Artifact) -> None:
    session = CardsSession(artifact, "cpu:0+1", LoadOptions(), ["cpu", "cpu"])
    infer(session, image(artifact, 0))
    pids = session.pids
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(RunError, match="its process was killed by SIGKILL"):
        session.run()
        session.synchronize()
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(RunError, match="load the artifact again"):
        session.run()
    session.close()


def test_what_cannot_be_shared_is_refused(artifact: Artifact, exported: Exported) -> None:
    with pytest.raises(UnsupportedError, match="3 views can't be spread over 4 GPUs"):
        CardsSession(artifact, "cpu:0+1+2+3", LoadOptions(), ["cpu"] * 4)
    with pytest.raises(UnsupportedError, match="not a batch of 2"):
        CardsSession(
            exported("pytorch", views=2, batch=2, precision="fp16", target="cuda"), "x", LoadOptions(), ["cpu"] * 2
        )


def test_a_group_that_is_not_here_is_one_clear_line() -> None:
    missing = "cuda:0+63"
    expected = "there is no cuda:63" if torch.cuda.is_available() else "no NVIDIA GPU|no CUDA|can't use"
    with pytest.raises(UnavailableError, match=expected):
        PyTorchRuntime().device(missing)
    with pytest.raises(UsageError, match="names a GPU twice"):
        PyTorchRuntime().device("cuda:1+1")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
