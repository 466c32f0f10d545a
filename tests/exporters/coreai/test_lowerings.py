"""Lowerings of our own against torch, converted and executed: both halves of the reference-view selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("packages")


def both(function: Callable[[Tensor], Tensor], x: Tensor, folder: Path) -> tuple[Tensor, Tensor]:
    """What torch and a converted asset make of one input."""
    import torch
    from coreai.runtime import AIModelAssetMetadata

    from depthport.exporters.coreai.convert import capture, convert, save
    from depthport.exporters.coreai.executable import run_asset

    class Network(torch.nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (function(x),)

    program, _ = convert(capture(Network().eval(), [x]), ["x"], ["y"])
    save(program, folder / "model.aimodel", AIModelAssetMetadata(), "iOS27")
    found = run_asset(folder / "model.aimodel", folder, {"x": x.numpy()})["y"]
    return torch.from_numpy(found), function(x)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("dim", [1, -1])
def test_argmin_takes_the_first_smallest(dim: int, keep: bool, tmp_path: Path) -> None:
    import torch

    x = torch.tensor([[[3.0, 1.0, 1.0], [0.0, -2.0, 5.0]], [[7.0, 7.0, 7.0], [1.0, float("inf"), 0.5]]])
    found, expected = both(lambda v: v.argmin(dim=dim, keepdim=keep), x, tmp_path)
    assert torch.equal(found.long(), expected)


@pytest.mark.parametrize(("dims", "correction", "keep"), [((-1,), 1, False), ((1, 2), 0, True), ((0,), 1, True)])
def test_var(dims: tuple[int, ...], correction: int, keep: bool, tmp_path: Path) -> None:
    import torch

    # A mean a hundred times the spread: one pass of squares would lose four digits.
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)) + 100
    found, expected = both(lambda v: v.var(dim=dims, correction=correction, keepdim=keep), x, tmp_path)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=0)


def test_what_the_package_has_itself_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from coreai_torch import TorchConverter, _aten_to_core

    from depthport.exporters.coreai.lowerings import LOWERINGS, register

    assert register(TorchConverter()) == list(LOWERINGS)
    monkeypatch.setitem(_aten_to_core._aten_to_core_resolver, "argmin.default", lambda *_: None)
    assert register(TorchConverter()) == ["var.correction"]


def test_an_operation_without_a_conversion_is_an_export_error() -> None:
    import torch

    from depthport.exporters.core.errors import ExportError
    from depthport.exporters.coreai.convert import capture, convert

    class Network(torch.nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (torch.linalg.inv(x),)

    with pytest.raises(ExportError, match=r"coreai-torch \S+ can't convert the network: .*aten"):
        convert(capture(Network().eval(), [torch.eye(3)]), ["x"], ["y"])
