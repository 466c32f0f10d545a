"""A network over several processes that exchange through gloo, as cards do through NCCL."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.multiprocessing.spawn import spawn

from depthport.exporters.core.precision import POLICIES
from depthport.exporters.da3.build import named_upstream
from depthport.exporters.da3.fused.cards import Cards, views_by_card
from depthport.exporters.da3.fused.network import FusedDA3
from depthport.exporters.da3.static.network import StaticDA3, build_static

SIZE = (28, 42)


def scene(views: int) -> torch.Tensor:
    return torch.randn(1, views, 3, *SIZE, generator=torch.Generator().manual_seed(views))


def network(model: str, views: int) -> FusedDA3:
    """The fused network in fp32, with synthetic weights."""
    upstream = named_upstream(model, "synthetic:0")
    static = build_static(upstream, 1, views, *SIZE, None, POLICIES["fp32"])
    assert isinstance(static, StaticDA3)
    return FusedDA3(static, POLICIES["fp32"]).eval().requires_grad_(False)


def one_card(rank: int, cards: int, folder: str, model: str, views: tuple[int, ...]) -> None:
    """What process `rank` of `cards` does: its share of each scene, its outputs into `folder`."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=cards)
    for n in views:
        shares = views_by_card(n, cards)
        net = network(model, n)
        net.share(Cards(shares, rank, net.heads))
        first = sum(shares[:rank])
        with torch.inference_mode():
            found = net(scene(n)[:, first : first + shares[rank]])
        torch.save(dict(zip(net.output_names, found, strict=True)), Path(folder) / f"{n}-{rank}.pt")
    torch.distributed.destroy_process_group()


def spread(cards: int, folder: Path, model: str, views: tuple[int, ...]) -> dict[int, list[dict[str, torch.Tensor]]]:
    """Outputs by number of views, one dictionary a card."""
    spawn(one_card, (cards, str(folder), model, views), nprocs=cards)
    return {n: [torch.load(folder / f"{n}-{rank}.pt") for rank in range(cards)] for n in views}
