"""The whole mix on held-out scenes: what breaks the budget goes back to float, and only that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.exporters.quantization.mix import Budget, Loss
from depthport.exporters.quantization.rounding import round_gptq
from depthport.exporters.quantization.sensitivity import QuantizedLayer
from depthport.exporters.quantization.trial import Trial, measure
from depthport.exporters.quantization.verify import Found, keep_within

pytest.importorskip("torch")
import torch


class Network(torch.nn.Module):
    """Depth of two 1×1 convolutions under names of the head's; no poses."""

    output_names = ("depth",)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        names = ("head", "depth", "chain")
        place: Any = self
        for name in names:
            inner = torch.nn.Module()
            setattr(place, name, inner)
            place = inner
        place.first, place.second = (torch.nn.Conv2d(3, 3, 1) for _ in range(2))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor]:
        chain: Any = self.get_submodule("head.depth.chain")
        return (chain.second(chain.first(image[0])) + 5,)


Tried = tuple[Network, dict[str, QuantizedLayer], list[Loss], list[NDArray[np.float32]]]


@pytest.fixture
def tried() -> Tried:
    """(network, layers, table, scenes): `first` is rounded well, the scale of `second` is half as large again."""
    network = Network()
    layers = {}
    for name, wrong in (("first", 1.0), ("second", 1.5)):
        weight = network.get_submodule(f"head.depth.chain.{name}").get_parameter("weight").detach().numpy()
        codes, scales = round_gptq(weight.reshape(3, 3).T, np.zeros((3, 3)))
        layers[f"head.depth.chain.{name}"] = QuantizedLayer(
            f"head.depth.chain.{name}", codes.T.reshape(weight.shape), scales * np.float32(wrong), None, None, None, 1.0
        )
    # The table believes in both: it was made on scenes that did not show it.
    table = [Loss(name, 1.0, 1e-3 + 1e-4 * ("second" in name), 0.0) for name in layers]
    scenes = list(np.random.default_rng(0).standard_normal((3, 1, 2, 3, 8, 8)).astype(np.float32))
    return network, layers, table, scenes


def trial(tried: Tried) -> Trial:
    network, layers, _, scenes = tried
    return Trial(network, network, scenes, layers)


def keep(tried: Tried, budget: Budget) -> tuple[list[str], Found]:
    table = tried[2]
    mix, found = keep_within(trial(tried), table, table, budget, lambda text: None)
    return [loss.layer.rpartition(".")[2] for loss in mix], found


def test_what_breaks_the_budget_goes_back_to_float(tried: Tried) -> None:
    kept, found = keep(tried, Budget(8e-3, 0.4))
    assert kept == ["first"]
    assert found.given_back == ("head.depth.chain.second",)
    assert 0 < found.depth <= 8e-3
    assert (found.scenes, found.rotation_deg) == (3, 0)


def test_nothing_goes_back_where_the_budget_holds(tried: Tried) -> None:
    kept, found = keep(tried, Budget(0.5, 0.4))
    assert (kept, found.given_back) == (["first", "second"], ())
    assert found.depth > 1e-2


def test_what_was_left_out_comes_again_where_it_fits(tried: Tried) -> None:
    table = tried[2]
    mix, found = keep_within(trial(tried), table[:1], table, Budget(0.5, 0.4), lambda text: None)
    assert (mix, found.added) == (table, ("head.depth.chain.second",))
    assert (found.depth, found.rotation_deg) == trial(tried).errors(table)


def test_a_mix_may_be_empty(tried: Tried) -> None:
    kept, found = keep(tried, Budget(1e-6, 0.4))
    assert (kept, found.depth, len(found.given_back)) == ([], 0, 2)


def test_hooks_are_gone_afterwards(tried: Tried) -> None:
    network, _, _, scenes = tried
    before = network(torch.from_numpy(scenes[0]))[0]
    keep(tried, Budget(8e-3, 0.4))
    assert torch.equal(network(torch.from_numpy(scenes[0]))[0], before)


def test_alone_each_layer_loses_what_it_adds(tried: Tried) -> None:
    table = measure(trial(tried), [replace(loss, depth=0) for loss in tried[2]], lambda text: None)
    assert [loss.depth for loss in table] == [trial(tried).errors((loss,))[0] for loss in tried[2]]
    assert table[1].depth > 10 * table[0].depth > 0


def test_a_network_that_breaks_the_budget_is_tried_no_further(tried: Tried) -> None:
    wrong = tried[2][1:]
    whole, first = trial(tried).errors(wrong), trial(tried).errors(wrong, Budget(1e-6, 0.4))
    assert 0 < first[0] <= whole[0]
