"""Each interpreted operation against coremltools' own numpy evaluation of it, which is written independently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from depthport.exporters.coreml.mil.ops import Call, operators

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(X) + 0.1
Y = RNG.standard_normal((2, 3, 4)).astype(np.float32)


def int32(values: object) -> NDArray[np.int32]:
    return np.array(values, np.int32)


CASES: dict[str, list[dict[str, Any]]] = {
    **{name: [{"x": X, "y": Y}] for name in ("add", "sub", "mul", "real_div", "maximum", "minimum")},
    **{name: [{"x": X, "y": Y}] for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")},
    "pow": [{"x": POSITIVE, "y": Y}],
    "floor_div": [{"x": X, "y": POSITIVE}],
    "mod": [{"x": X, "y": POSITIVE}],
    **{
        name: [{"x": X}]
        for name in ("abs", "atan", "ceil", "cos", "erf", "exp", "floor", "relu", "round", "sigmoid", "sign", "silu",
                     "sin", "square", "tan", "tanh")
    },
    "sqrt": [{"x": POSITIVE}],
    "rsqrt": [{"x": POSITIVE}, {"x": POSITIVE, "epsilon": np.float32(0.5)}],
    "log": [{"x": POSITIVE}, {"x": POSITIVE, "epsilon": np.float32(0.5)}],
    "inverse": [{"x": POSITIVE}, {"x": POSITIVE, "epsilon": np.float32(0.5)}],
    "clip": [{"x": X, "alpha": np.float32(-0.5), "beta": np.float32(0.7)}],
    "gelu": [{"x": X, "mode": mode} for mode in ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")],
    "select": [{"cond": X > 0, "a": X, "b": Y}],
    "cast": [{"x": X, "dtype": "int32"}, {"x": X, "dtype": "bool"}],
    **{
        name: [{"x": X, "axes": int32([1]), "keep_dims": keep} for keep in (True, False)]
        for name in ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_l1_norm", "reduce_l2_norm",
                     "reduce_sum_square")
    },
    "reduce_argmin": [{"x": X, "axis": np.int32(-1)}, {"x": X, "axis": np.int32(1), "keep_dims": True}],
    "reduce_argmax": [{"x": X, "axis": np.int32(0)}],
    "softmax": [{"x": X, "axis": np.int32(1)}],
    "layer_norm": [
        {"x": X, "axes": int32([-1]), "gamma": Y[0, 0], "beta": Y[0, 1], "epsilon": np.float32(1e-3)},
        {"x": X, "axes": int32([1]), "epsilon": np.float32(1e-5)},
    ],
    "linear": [{"x": X, "weight": Y[0], "bias": Y[0, :, 0]}],
    "matmul": [{"x": X, "y": Y, "transpose_y": True}, {"x": X, "y": Y, "transpose_x": True}],
    "transpose": [{"x": X, "perm": int32([2, 0, 1])}],
    "reshape": [{"x": X, "shape": int32([0, -1])}, {"x": X, "shape": int32([4, 6])}],
    "expand_dims": [{"x": X, "axes": int32([0, -1])}],
    "squeeze": [{"x": X[:, :1], "axes": int32([1])}, {"x": X[:1, :1]}],
    "concat": [{"values": [X, Y], "axis": np.int32(1)}],
    "stack": [{"values": [X, Y], "axis": np.int32(1)}],
    "split": [
        {"x": X, "axis": np.int32(2), "num_splits": np.int32(2)},
        {"x": X, "axis": np.int32(1), "split_sizes": int32([1, 2])},
    ],
    "tile": [{"x": X, "reps": int32([1, 2, 3])}],
    "slice_by_index": [
        {"x": X, "begin": int32([0, 1, 0]), "end": int32([2, 3, 3])},
        {"x": X, "begin": int32([1, 0, 3]), "end": int32([0, 0, 0]), "stride": int32([1, 1, 1]),
         "end_mask": np.array([False, True, True]), "squeeze_mask": np.array([True, False, False])},
        {"x": X, "begin": int32([0, -2, 0]), "end": int32([2, -1, 4]), "stride": int32([1, 1, 2])},
    ],
    "slice_by_size": [{"x": X, "begin": int32([0, 1, 0]), "size": int32([2, -1, 2])}],
    "gather": [
        {"x": X, "indices": int32([2, 0]), "axis": np.int32(1)},
        {"x": X, "indices": int32([[1, 0], [0, 1]]), "axis": np.int32(0)},
    ],
    "gather_along_axis": [{"x": X, "indices": np.int32(np.zeros((2, 3, 4))), "axis": np.int32(1)}],
    "pad": [{"x": X, "pad": int32([1, 2, 0, 3]), "mode": "constant", "constant_val": np.float32(7)}],
}  # fmt: skip


def reference(name: str, arguments: dict[str, Any]) -> Any:
    """coremltools' value inference, or None where it has none for this operation."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    found: list[Any] = []

    def program(unused: Any) -> Any:
        result = getattr(mb, name)(**arguments)
        found.extend(r.val for r in (result if isinstance(result, (list, tuple)) else [result]))
        return mb.identity(x=unused)

    mb.program(input_specs=[mb.TensorSpec(shape=(1,))], opset_version=ct.target.iOS18)(program)

    return None if any(v is None for v in found) else found


def tensors(value: Any) -> Any:
    if isinstance(value, list):
        return [tensors(v) for v in value]
    return value if isinstance(value, str) else torch.as_tensor(np.array(value))


@pytest.mark.parametrize("name,arguments", [(n, a) for n, cases in CASES.items() for a in cases],
                         ids=[f"{n}-{i}" for n, cases in CASES.items() for i in range(len(cases))])  # fmt: skip
def test_operation(name: str, arguments: dict[str, Any]) -> None:
    expected = reference(name, arguments)
    if expected is None:
        pytest.skip("coremltools does not evaluate it")
    result = operators()[name](Call(name, name, {k: tensors(v) for k, v in arguments.items()}))
    found = result if isinstance(result, tuple) else (result,)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == np.shape(theirs)
        found_values, expected_values = mine.numpy().astype(np.float64), np.asarray(theirs, np.float64)
        np.testing.assert_allclose(found_values, expected_values, rtol=2e-5, atol=2e-6)


def call(name: str, **arguments: Any) -> torch.Tensor:
    return operators()[name](Call(name, name, {k: tensors(v) for k, v in arguments.items()}))  # type: ignore[return-value]


def test_interleaved_concatenation() -> None:
    """The example in the operation's documentation; coremltools' own evaluation leaves interleaving out."""
    a, b = np.array([[1, 2], [3, 4], [5, 6]], np.float32), np.array([[7, 8], [9, 10], [11, 12]], np.float32)
    found = call("concat", values=[a, b], axis=np.int32(0), interleave=True)
    assert found.tolist() == [[1, 2], [7, 8], [3, 4], [9, 10], [5, 6], [11, 12]]


def test_attention() -> None:
    q, k, v = (torch.from_numpy(RNG.standard_normal((2, 5, 4)).astype(np.float32)) for _ in range(3))
    expected = torch.softmax(q @ k.mT / 2.0, -1) @ v
    found = call("scaled_dot_product_attention", query=q.numpy(), key=k.numpy(), value=v.numpy())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pad,stride", [([0, 0, 0, 0], [1, 1]), ([1, 0, 2, 1], [2, 1])])
def test_convolution_with_uneven_padding(pad: list[int], stride: list[int]) -> None:
    x = RNG.standard_normal((1, 3, 4, 5)).astype(np.float32)
    weight = RNG.standard_normal((2, 3, 3, 3)).astype(np.float32)
    found = call("conv", x=x, weight=weight, pad_type="custom", pad=int32(pad), strides=int32(stride))
    padded = torch.nn.functional.pad(torch.from_numpy(x), (pad[2], pad[3], pad[0], pad[1]))
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(weight), stride=stride)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("same", ["same", "same_lower"])
def test_convolution_with_same_padding(same: str) -> None:
    x = RNG.standard_normal((1, 1, 5, 6)).astype(np.float32)
    weight = RNG.standard_normal((1, 1, 2, 2)).astype(np.float32)
    found = call("conv", x=x, weight=weight, pad_type=same, strides=int32([1, 1]))
    sides = (0, 1, 0, 1) if same == "same" else (1, 0, 1, 0)
    expected = torch.nn.functional.conv2d(torch.nn.functional.pad(torch.from_numpy(x), sides), torch.from_numpy(weight))
    torch.testing.assert_close(found, expected)


def test_upsampling_takes_its_size_from_the_factor() -> None:
    x = RNG.standard_normal((1, 2, 40, 56)).astype(np.float32)
    found = call(
        "upsample_bilinear", x=x, scale_factor_height=np.float32(70 / 40), scale_factor_width=np.float32(98 / 56),
        align_corners=True,
    )  # fmt: skip
    expected = torch.nn.functional.interpolate(torch.from_numpy(x), (70, 98), mode="bilinear", align_corners=True)
    torch.testing.assert_close(found, expected)
