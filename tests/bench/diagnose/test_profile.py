"""Where the time goes: the arithmetic of parts and roofs, and a real profile of the static network on the CPU."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from depthport.bench.diagnose.profile_parts import (
    FUSION,
    GLOBAL,
    LOCAL,
    MLP,
    NORMS,
    OUTPUT,
    PATCHES,
    PROJECTIONS,
    RESIZE,
    STAGE,
    TOKENS,
    add_up,
    mean_ci95,
    part_of,
)  # fmt: skip
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.store import ArtifactStore
from tests.conftest import Exported

torch = pytest.importorskip("torch")

from depthport.runtimes.base import DeviceRates, OperatorTime  # noqa: E402
from depthport.runtimes.pytorch.profile import flop  # noqa: E402

RATES = DeviceRates(matmul_flop_s=1e12, copy_bytes_s=1e10, dtype="float32")


def operator(path: str, name: str, groups: int = 1, flop: int = 0, moved: int = 0, seconds: float = 0.0) -> OperatorTime:
    return OperatorTime(path, name, ((groups, 4, 4, 4),) * 2, flop, moved, (seconds,))


@pytest.mark.parametrize(
    ("path", "name", "part"),
    [
        ("backbone.blocks.9.attn", "attention", GLOBAL),
        ("backbone.blocks.9.attn.qkv", "linear", PROJECTIONS),
        ("backbone.blocks.9.attn", "qk_norm_rope", NORMS),
        ("backbone.blocks.9.mlp.fc2", "linear", MLP),
        ("backbone", "linear_gelu", MLP),
        ("backbone", "linear", MLP),
        ("backbone", "residual_norm", NORMS),
        ("backbone", "select_reference_view", TOKENS),
        ("head.stages.2.resize", "conv2d", f"{STAGE} 3"),
        ("head.fusions.0.lateral", "convolution_relu", f"{FUSION} 1"),
        ("head.depth.chain.fusions.3", "upsample_bilinear2d", RESIZE),
        ("head.depth.output.conv", "conv2d", OUTPUT),
    ],
)
def test_operators_belong_to_parts(path: str, name: str, part: str) -> None:
    assert part_of(operator(path, name), views=3, started=True) == part


def test_the_same_operator_is_another_part_elsewhere() -> None:
    assert part_of(operator("backbone", "linear"), views=3, started=False) == PATCHES
    assert part_of(operator("backbone.blocks.9.attn", "attention", groups=3), views=3, started=True) == LOCAL


def test_a_roof_is_the_larger_of_arithmetic_and_traffic_of_each_operator() -> None:
    bound_by_arithmetic = operator("backbone.blocks.0.mlp.fc1", "linear", flop=10**10, moved=10**6, seconds=0.02)
    bound_by_memory = operator("backbone.blocks.0.mlp", "gelu", moved=10**8, seconds=0.02)
    (part,) = add_up([bound_by_arithmetic, bound_by_memory], RATES, views=1)
    assert part.name == MLP and part.share == 1.0
    assert part.ms == pytest.approx(40.0)
    assert part.roof_ms == pytest.approx(10.0 + 10.0)
    assert part.of_roof == pytest.approx(0.5)


def test_a_roof_is_never_beyond_what_is_possible() -> None:
    cached = replace(RATES, cached_bytes_s=((1 << 16, 1e12), (1 << 20, 1e11)))
    assert [cached.bytes_s(moved) for moved in (10, 1 << 16, 1 << 18, 1 << 22)] == [1e12, 1e12, 1e11, 1e10]
    # Faster than any copy that was measured: its data lay in a cache.
    (part,) = add_up([operator("backbone.blocks.0.mlp", "gelu", moved=10**8, seconds=1e-4)], RATES, views=1)
    assert part.roof_ms > part.ms and part.of_roof == 1.0


def test_the_digits_of_a_part_are_those_that_its_calls_support() -> None:
    mean, interval = mean_ci95([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3.0 and interval == pytest.approx((3 - 1.963, 3 + 1.963), abs=1e-3)
    assert mean_ci95([2.0]) == (2.0, None)
    several = OperatorTime("backbone.blocks.0.mlp.fc1", "linear", (), 0, 0, (1e-3, 3e-3))
    other = OperatorTime("backbone.blocks.0.mlp.fc2", "linear", (), 0, 0, (3e-3, 1e-3))
    (part,) = add_up([several, other], RATES, views=1)
    assert part.ms == pytest.approx(4.0) and part.ms_ci95 == pytest.approx((4.0, 4.0)), "calls are added up one by one"


@pytest.mark.parametrize(("latency", "said"), [(12.0, "2 ms of a call are outside"), (9.0, "take 1 ms more than a call")])
def test_parts_sum_to_the_call_or_it_says_what_is_missing(latency: float, said: str) -> None:
    from depthport.bench.cli.tables import print_table
    from depthport.bench.diagnose.profile import Profile, table

    parts = add_up([operator("backbone.blocks.0.mlp.fc1", "linear", flop=10**10, seconds=0.01)], RATES, views=1)
    names = ("model", "batch", "views", "height", "width", "device", "mode", "precision")
    cell: dict[str, str | int] = dict.fromkeys(names, 1)
    found = Profile(cell, "a CPU", {}, 1, latency, None, 1.0, 10.0, "float32", parts)
    shown = table(found)
    assert found.outside_ms == pytest.approx(latency - 10.0) == found.to_json()["outside_ms"]
    text = io.StringIO()
    print_table(shown, Console(file=text, width=80))
    assert all(len(line) <= 80 for line in text.getvalue().splitlines()) and "of roof" in text.getvalue()
    assert said in shown.note and [row[0] for row in shown.rows[-2:]] == ["all parts", "a whole call"]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("linear", lambda f: f.linear(torch.zeros(2, 5, 8), torch.zeros(6, 8))),
        ("conv2d", lambda f: f.conv2d(torch.zeros(2, 3, 9, 7), torch.zeros(4, 3, 3, 3), padding=1)),
        ("conv_transpose2d", lambda f: f.conv_transpose2d(torch.zeros(1, 3, 4, 5), torch.zeros(3, 6, 2, 2), stride=2)),
    ],
)
def test_flop_agrees_with_pytorchs_own_counter(name: str, call: Callable[..., Any]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    every: dict[str, list[tuple[int, ...]]] = {
        "linear": [(2, 5, 8), (6, 8)], "conv2d": [(2, 3, 9, 7), (4, 3, 3, 3)],
        "conv_transpose2d": [(1, 3, 4, 5), (3, 6, 2, 2)],
    }  # fmt: skip
    with FlopCounterMode(display=False) as counter:
        result = call(torch.nn.functional)
    assert flop(name, every[name], tuple(result.shape)) == counter.get_total_flops() > 0


def test_attention_is_its_two_products_whichever_way_its_heads_lie() -> None:
    products = 2 * (2 * 2 * 3 * 7 * 7 * 4)  # two scenes of three heads, 7 × 7 scores of 4 channels, twice
    assert flop("scaled_dot_product_attention", [(2, 3, 7, 4)] * 3, (2, 3, 7, 4)) == products
    assert flop("attention", [(2, 7, 3, 4)] * 3, (2, 7, 3, 4)) == products


def test_a_profile_of_the_static_network(exported: Exported, store: ArtifactStore, tmp_path: Path) -> None:
    from depthport.bench.diagnose.profile import profile
    from depthport.bench.diagnose.profile_picture import write_profile

    exported("pytorch", views=3)
    found = profile(
        "da3-small", device="cpu", mode="balanced", views=3, height=70, width=98, weights="synthetic:0", calls=1,
        store=store, threads=1,
    )  # fmt: skip
    names = {part.name for part in found.parts}
    assert {PATCHES, LOCAL, GLOBAL, PROJECTIONS, MLP, NORMS, TOKENS, RESIZE, OUTPUT, f"{STAGE} 4", f"{FUSION} 1"} <= names
    assert sum(part.share for part in found.parts) == pytest.approx(1.0)
    # Twelve blocks of two matrices of 384 × 1536 on 3 × 36 tokens.
    (mlp,) = (part for part in found.parts if part.name == MLP)
    assert mlp.gflop == pytest.approx(12 * 2 * 2 * 384 * 1536 * 108 / 1e9)
    assert found.latency_ms > 0 and found.matmul_tflop_s > 0 and found.copy_gb_s > 0
    written = write_profile(found, tmp_path)
    data = json.loads(written[0].read_text())
    assert data["schema"] == "depthport.profile/1" and data["cell"]["mode"] == "eager"
    assert all(math.isfinite(part["ms"]) for part in data["parts"])


def test_a_compiled_mode_has_no_operators_to_time(store: ArtifactStore) -> None:
    from depthport.bench.diagnose.profile import profile

    with pytest.raises(UnsupportedError, match="operator by operator"):
        profile("da3-small", device="cpu", mode="upstream", weights="synthetic:0", store=store)
    with pytest.raises(UsageError, match="--calls is 0"):
        profile("da3-small", device="cpu", weights="synthetic:0", store=store, calls=0)
