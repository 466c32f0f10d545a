"""One scene over several cards: the same function as on one, whatever the number of views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")
if not torch.distributed.is_available():
    pytest.skip("this torch has no torch.distributed", allow_module_level=True)

from depthport.exporters.core.errors import UnsupportedError  # noqa: E402
from depthport.exporters.da3.fused.cards import Cards, views_by_card  # noqa: E402
from tests.support.fused.cards import network, scene, spread  # noqa: E402
from tests.support.kernels.cases import relative_error  # noqa: E402


@pytest.mark.parametrize(("cards", "views"), [(2, (2, 3, 5)), (3, (4,))])
def test_sharded_views_give_what_one_card_gives(tmp_path: Path, cards: int, views: tuple[int, ...]) -> None:
    check("da3-small", cards, views, spread(cards, tmp_path, "da3-small", views))


def check(model: str, cards: int, views: tuple[int, ...], found: dict[int, list[dict[str, Any]]]) -> None:
    for n in views:
        net = network(model, n)
        with torch.inference_mode():
            expected = dict(zip(net.output_names, net(scene(n)), strict=True))
        assert [part["depth"].shape[1] for part in found[n]] == list(views_by_card(n, cards))
        for name, value in expected.items():
            if name == "reference_view":
                assert all(torch.equal(part[name], value) for part in found[n])
            else:
                whole = torch.cat([part[name] for part in found[n]], dim=1)
                assert relative_error(whole, value) < 2e-6, (n, name)


def test_shares_are_even_and_in_order() -> None:
    assert views_by_card(5, 2) == (3, 2) and views_by_card(32, 4) == (8, 8, 8, 8) and views_by_card(7, 3) == (3, 2, 2)
    second = Cards(views_by_card(7, 3), 1, heads=6)
    assert (second.first, second.views, second.count) == (3, 7, 3)


def test_what_cannot_be_shared_is_said_in_one_line() -> None:
    with pytest.raises(UnsupportedError, match="3 views can't be spread over 4 GPUs"):
        views_by_card(3, 4)
    with pytest.raises(UnsupportedError, match="6 attention heads can't be shared by 4 GPUs: use 2, 3, 6"):
        Cards((1, 1, 1, 1), 0, heads=6)
