"""The batch search over a simulated memory."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from depthport.bench.diagnose.batching import largest_batch
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.store import ArtifactStore
from depthport.runtimes.base import Device
from tests.conftest import Exported

FIXED, PER_ITEM, DEVICE = 100.0, 7.0, 1000.0


def memory(size: int) -> float | None:
    peak = FIXED + PER_ITEM * size
    return peak if peak <= DEVICE else None


@pytest.mark.parametrize("limit", [106.9, 107.0, 113.9, 114.0, 300.0, 545.5, 900.0, 1000.0, 5000.0])
def test_it_finds_the_largest_that_fits(limit: float) -> None:
    expected = max((n for n in range(1, 1025) if (memory(n) or 1e9) <= limit), default=0)
    assert largest_batch(memory, limit) == expected


@pytest.mark.parametrize("most", [1, 2, 3, 64, 100, 127, 128])
def test_it_stops_at_the_largest_of_interest(most: int) -> None:
    assert largest_batch(memory, DEVICE, most) == most


def test_it_tries_few_sizes_and_none_twice() -> None:
    for limit in range(100, 1100, 13):
        trial = Mock(side_effect=memory)
        largest_batch(trial, float(limit))
        sizes = [call.args[0] for call in trial.call_args_list]
        assert len(sizes) == len(set(sizes)) <= 22


def test_out_of_memory_at_one_is_an_answer() -> None:
    assert largest_batch(lambda size: None, 100.0) == 0


@pytest.mark.parametrize(("limit", "most"), [(0.0, 4), (-1.0, 4), (float("nan"), 4), (10.0, 0)])
def test_nonsense_is_refused(limit: float, most: int) -> None:
    with pytest.raises(UsageError, match="batch search"):
        largest_batch(memory, limit, most)


def test_the_real_search_measures_each_size_in_a_process_of_its_own(exported: Exported, store: ArtifactStore) -> None:
    pytest.importorskip("torch")
    from depthport.bench.diagnose.batch import find_batch

    exported("pytorch")
    answer = find_batch(
        "da3-small", device="cpu", mode="balanced", height=70, width=98, weights="synthetic:0", most=1, threads=1,
        store=store,
    )  # fmt: skip
    (trial,) = answer.trials
    assert answer.batch == 1 and answer.cell == "pytorch/cpu/eager/fp32"
    assert trial.call_ms and trial.peak_mib and answer.limit_mib and answer.memory_mib
    assert trial.fits and trial.img_s == pytest.approx(1e3 / trial.call_ms)
    assert 0 < trial.peak_mib < answer.limit_mib < answer.memory_mib


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_of_memory_lies_within_it(fraction: float) -> None:
    from depthport.bench.diagnose.batch import find_batch

    with pytest.raises(UsageError, match=r"memory-fraction is .*: it must be above 0 and at most 1"):
        find_batch("da3-small", device="cpu", fraction=fraction)


@pytest.mark.parametrize(
    ("batch", "peaks", "named", "said"),
    [
        (2, {1: 50.0, 2: 70.0}, "most", "--most"),
        (2, {1: 50.0, 2: 70.0, 3: 90.0, 4: 110.0}, "memory_fraction", "3 took 90 MiB, more than its share"),
        (1, {1: 50.0, 2: None}, "out_of_memory", "2 ran out of memory"),
        (0, {1: None}, "out_of_memory", "1 ran out of memory"),
    ],
)
def test_the_bound_that_stopped_it_is_named(batch: int, peaks: dict[int, float | None], named: str, said: str) -> None:
    from depthport.bench.diagnose.batch import BatchAnswer, BatchTrial, bound, table

    trials = tuple(BatchTrial(size, peak, 1.0, 1.0, size <= batch) for size, peak in peaks.items())
    assert bound(batch, trials) == named
    assert said in table(BatchAnswer("a", batch, 80.0, 100.0, bound(batch, trials), trials)).note


def test_where_no_mode_is_named_it_is_the_runtimes_best_that_takes_the_model() -> None:
    pytest.importorskip("torch")
    from depthport.bench.diagnose.configuration import configure
    from depthport.exporters.da3.registry import get_model
    from depthport.exporters.da3.weights import resolve_weights
    from depthport.runtimes.pytorch.runtime import EAGER, FUSED, GRAPH, UPSTREAM, PyTorchRuntime

    class OnAGpu(PyTorchRuntime):
        def probe(self) -> list[Device]:
            return [Device("cuda", "a GPU", (UPSTREAM, EAGER, GRAPH, FUSED), ("bf16-mixed", "fp32"))]

    def best(model: str, precision: str | None) -> str:
        weights = resolve_weights("synthetic:0", get_model(model))
        return configure(model, OnAGpu(), "cuda", None, precision, weights, (1, 1, 28, 42))[0].name

    assert best("da3-small", None) == "fused"
    assert best("da3-small", "fp32") == "graph", "fused kernels have no fp32"
    assert best("da3-giant", None) == "graph", "nor a giant"
