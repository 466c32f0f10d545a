"""Predictions about the Neural Engine: each rule, and what option `ane` takes away."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from depthport.exporters.coreml.mil.ane import against_plan, family_of, predict, reasons
from depthport.exporters.coreml.mil.ane_chips import FAMILIES
from depthport.exporters.coreml.mil.flops import function_flops
from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.parity import compare, violations
from depthport.exporters.coreml.mil.program import Binding, Operation, TensorType, Variable
from depthport.exporters.coreml.verify import verify
from tests.support.coreml.short import package_network

M1, NEWEST = FAMILIES[0], FAMILIES[-1]


def operation(kind: str, shape: tuple[int, ...], dtype: str = "fp16", **inputs: Any) -> tuple[Operation, dict[str, Any]]:
    """One operation with an output of that type; inputs are types."""
    types = {name: TensorType(d, s) for name, (d, s) in inputs.items()}
    bindings: dict[str, tuple[Binding, ...]] = {name: (Binding(name),) for name in inputs}
    return Operation(kind, bindings, (Variable("out", TensorType(dtype, shape)),)), types


def test_accepted() -> None:
    op, types = operation("add", (1, 8), x=("fp16", (1, 8)), y=("fp16", (1, 8)))
    assert not reasons(op, types, M1)


@pytest.mark.parametrize("made,reason", [
    (operation("add", (1, 8), "fp32", x=("fp32", (1, 8))), "computes in fp32"),
    (operation("cast", (1, 8), "fp16", x=("fp32", (1, 8))), "cast with fp32"),
    (operation("add", (1, 8), "int32", x=("int32", (1, 8))), "computes in int32"),
    (operation("tan", (1, 8), x=("fp16", (1, 8))), "no such operation"),
    (operation("reshape", (1, 1, 1, 1, 1, 8), x=("fp16", (8,))), "rank 6"),
    (operation("matmul", (1, 1, 2, 4, 4), x=("fp16", (1, 1, 2, 4, 4)), y=("fp16", (4, 4))), "matmul of rank 5"),
    (operation("add", (1, 16385), x=("fp16", (1, 16385))), "axis longer than 16384"),
    (operation("conv", (1, 4, 2, 2), x=("fp16", (1, 3, 28, 28)), weight=("fp16", (4, 3, 14, 14))), "kernel width 14"),
    (operation("reduce_argmin", (1,), "fp16", x=("fp16", (1, 2049))), "longer than 2048"),
    (operation("upsample_bilinear", (1, 1, 8, 8), x=("fp16", (1, 1, 4, 4))), "needs M2"),
])  # fmt: skip
def test_refused(made: Any, reason: str) -> None:
    op, types = made
    assert any(reason in why for why in reasons(op, types, M1))


def test_later_chips_take_more() -> None:
    op, types = operation("upsample_bilinear", (1, 1, 8, 8), x=("fp16", (1, 1, 4, 4)))
    assert reasons(op, types, M1) and not reasons(op, types, NEWEST)
    op, types = operation("add", (1, 20000), x=("fp16", (1, 20000)))
    assert reasons(op, types, M1) and not reasons(op, types, NEWEST)


@pytest.fixture(scope="module")
def engine(converted: Any) -> Any:
    return converted("fp16", views=2, ane=True)


def test_option_ane_leaves_no_blocker_from_m2_on(engine: Any, converted: Any) -> None:
    prediction = predict(engine.package.function())
    for family in prediction.families[1:]:
        assert not family.blockers, family
    assert {b.operation for b in prediction.families[0].blockers} == {"upsample_bilinear"}
    plain = predict(converted("fp32", views=3).package.function())
    assert all(f.blocked_flop_share > 0.99 for f in plain.families)


def test_option_ane_has_fp16_at_both_ends(engine: Any) -> None:
    inputs, outputs = engine.package.features["main"]
    assert {f.dtype for f in (*inputs, *outputs)} == {"fp16"}
    assert [f.name for f in outputs] == ["depth", "depth_conf", "pose_enc"]


def test_option_ane_is_exact(engine: Any, converted: Any) -> None:
    """The rewrites change no value: the package is the network's with its constants rounded, as without them."""
    found = verify(engine.path, engine.network, engine.examples, half=True)
    assert found["declared"]["depth"]["rms_over_std"] < 5e-3
    kernels = [
        op.inputs["weight"][0].name for op in engine.package.function().operations
        if op.type == "conv"
    ]  # fmt: skip
    types = engine.package.function().types()
    assert max(types[name].shape[-1] or 0 for name in kernels if name) <= 13


def test_split_convolution_is_exact() -> None:
    from depthport.exporters.coreml.network import SplitPatchConvolution

    conv = torch.nn.Conv2d(3, 8, 14, 14).double()
    x = torch.randn(2, 3, 70, 98, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SplitPatchConvolution(conv)(x), conv(x), rtol=1e-12, atol=1e-12)


def test_blockers_and_shares(engine: Any) -> None:
    prediction = predict(engine.package.function())
    data = prediction.to_json()
    assert data["kind"] == "predicted" and "M1" in str(data["families"])
    assert any("upsample_bilinear" in b.operation for f in prediction.families for b in f.blockers)
    share = sum(b.flop_share for b in prediction.families[0].blockers)
    assert 0 < share < 0.05 and share == pytest.approx(prediction.families[0].blocked_flop_share)


def test_flops_are_the_networks(converted: Any) -> None:
    """Against torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    made = converted("fp32", views=3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        made.network(*made.examples)
    function = made.package.function()
    kinds = {op.name: op.type for op in function.operations}
    heavy = ("conv", "conv_transpose", "linear", "matmul")
    counted = sum(n for name, n in function_flops(function).items() if kinds[name] in heavy)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_against_the_plan(engine: Any) -> None:
    function = engine.package.function()
    plan = {op.name: "ane" for op in function.operations if op.type != "const"}
    m1, m2 = predict(function).families[:2]
    kinds = {op.name: op.type for op in function.operations}
    elsewhere, taken = against_plan(m1.refused, plan)
    assert not elsewhere and {kinds[name] for name in taken} == {"upsample_bilinear"}
    assert against_plan(m2.refused, plan) == ([], [])
    moved = next(name for name, kind in kinds.items() if kind == "softmax")
    assert against_plan(m2.refused, {**plan, moved: "cpu"}) == ([moved], [])


@pytest.mark.parametrize("chip,family", [
    ("Apple M1", "M1"), ("Apple M2 Pro", "M2"), ("Apple M3 Max", "M3"), ("Apple M5", "M4, M5"), ("Apple M10", None),
    ("Intel(R) Core(TM) i7", None),
])  # fmt: skip
def test_family_of_a_processor(chip: str, family: str | None) -> None:
    assert family_of(chip) == family


@pytest.mark.slow
def test_images_in(converted: Any) -> None:
    made = converted("fp32", views=2, images=True)
    inputs, _ = made.package.features["main"]
    assert [(f.name, f.kind, f.dtype, f.shape) for f in inputs] == [
        ("image_0_0", "image", "rgb", (70, 98)), ("image_0_1", "image", "rgb", (70, 98)),
    ]  # fmt: skip
    assert not violations(compare(Interpreter(made.package.function()).run(made.inputs), made.expected()))


@pytest.mark.slow
def test_images_are_normalised_inside(converted: Any, upstream: Any) -> None:
    """Pixel values in give what the normalised tensor gives."""
    made = converted("fp32", views=2, images=True)
    network, examples = package_network(upstream, 2)
    with torch.no_grad():
        expected = dict(zip(network.face.outputs, network(*examples), strict=True))
    assert not violations(compare(Interpreter(made.package.function()).run(made.inputs), expected))
