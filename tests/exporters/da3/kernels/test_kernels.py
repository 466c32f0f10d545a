"""Operators of our own: definitions traced and checked on the CPU, kernels interpreted there and run on a GPU."""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytest.importorskip("torch")
import torch

from depthport.exporters.da3 import kernels
from depthport.exporters.da3.kernels.attention import EXPONENT_LIMIT, LOG2_E, exponent_bound, exponent_limit
from depthport.exporters.da3.kernels.cuda.attention_sm90 import SOURCE, Tiling, tiling
from depthport.exporters.da3.kernels.op import DEFINED_IN, cuda_module
from tests.support.kernels.cases import CASES, LIBRARY, outputs, relative_error

LIMITS = {torch.float16: 2e-3, torch.bfloat16: 1.2e-2}
"""A few roundings of the dtype."""


@pytest.mark.parametrize("name", CASES)
def test_a_definition_traces_to_the_shapes_it_returns(name: str) -> None:
    operator, case = CASES[name]
    arguments = case(torch.Generator().manual_seed(0), torch.float32)
    torch.library.opcheck(getattr(kernels, operator), arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("operator", sorted(kernels.__all__))
def test_an_operator_has_its_kernel_where_it_is_looked_for(operator: str) -> None:
    # Read, not imported: most need Triton.
    module = cuda_module(DEFINED_IN[operator])
    file = ROOT.joinpath(*module.removeprefix("depthport.").split(".")).with_suffix(".py")
    functions = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert operator in functions


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton: pip install triton")
def test_kernels_interpreted_on_the_cpu_agree_with_their_definitions() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.kernels.interpreted"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if "only 0-dimensional arrays" in done.stderr:
        pytest.skip("this Triton's interpreter can't work with NumPy 2.4 or newer")
    assert done.returncode == 0, done.stderr[-2000:]
    errors = json.loads(done.stdout)
    assert set(errors) == {name for name, (operator, _) in CASES.items() if operator not in LIBRARY}
    assert max(errors.values()) < LIMITS[torch.float16], errors


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_a_kernel_on_the_gpu_agrees_with_its_definition(name: str, dtype: torch.dtype) -> None:
    operator, case = CASES[name]
    arguments = case(torch.Generator().manual_seed(1), dtype)
    expected = outputs(getattr(kernels, operator)(*arguments))
    on_gpu = [value.cuda() if isinstance(value, torch.Tensor) else value for value in arguments]
    found = outputs(getattr(kernels, operator)(*on_gpu))
    for a, b in zip(found, expected, strict=True):
        assert relative_error(a.cpu().float(), b.float()) < LIMITS[dtype]


def test_no_input_exceeds_the_exponent_bound() -> None:
    make = torch.Generator().manual_seed(0)
    q_weight, q_bias, k_weight, k_bias = (torch.randn(64, generator=make) for _ in range(4))
    q, k = (torch.nn.functional.layer_norm(torch.randn(4096, 64, generator=make) ** 3, (64,)) for _ in range(2))
    scores = (q * q_weight + q_bias) @ (k * k_weight + k_bias).T * 0.18
    assert float(scores.abs().max()) <= exponent_bound(q_weight, q_bias, k_weight, k_bias, 0.18)


def test_the_exponent_bound_is_reached_by_aligned_vectors() -> None:
    ones, zeros = torch.ones(64), torch.zeros(64)
    scale = LOG2_E / 8
    assert exponent_bound(ones, zeros, ones, zeros, scale) == pytest.approx(64 * scale)
    assert exponent_bound(3 * ones, zeros, 3 * ones, zeros, scale) > EXPONENT_LIMIT


def test_weights_of_fp16_fit_into_fp32_whatever_their_reference() -> None:
    furthest = 2 * exponent_limit(torch.float16)
    assert 2**furthest * 128 < torch.finfo(torch.float32).max  # a thread adds up 128 keys at most
    assert exponent_limit(torch.bfloat16) == EXPONENT_LIMIT


def test_weights_at_the_exponent_limit_neither_overflow_nor_vanish() -> None:
    for exponent in (EXPONENT_LIMIT, -EXPONENT_LIMIT):
        total = torch.tensor(2.0).pow(exponent) * 2**20 * 4
        assert math.isfinite(float(total)) and float(total) > 0


@pytest.mark.parametrize(
    ("groups", "length", "bounded", "expected"),
    [
        (1, 1297, True, Tiling(3, 64, 3)),
        (5, 1297, True, Tiling(3, 64, 4)),
        (5, 1297, False, Tiling(3, 64, 4)),
        (1, 6485, True, Tiling(2, 128, 3)),
        (1, 6485, False, Tiling(3, 64, 4)),
    ],
)
def test_the_cut_is_the_fastest_measured(groups: int, length: int, bounded: bool, expected: Tiling) -> None:
    assert tiling(groups, length, 16, bounded, 132) == expected


@pytest.mark.parametrize("cut", [Tiling(2, 128, 3), Tiling(3, 64, 3), Tiling(3, 64, 4)])
def test_a_cut_fits_the_shared_memory_of_a_processor(cut: Tiling) -> None:
    assert cut.shared_bytes <= 227 * 1024


@pytest.mark.skipif(find_spec("cuda") is None, reason="needs cuda-bindings (NVRTC)")
def test_the_hopper_kernel_compiles_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    from depthport.exporters.core.errors import RunError
    from depthport.exporters.da3.kernels.cuda.attention_sm90 import build

    monkeypatch.setenv("DEPTHPORT_KERNEL_CACHE", str(tmp_path))
    try:
        cubin = build(Tiling(3, 64, 3), bounded=False, dtype="f16")
    except RunError:
        raise
    except RuntimeError as error:
        pytest.skip(f"NVRTC's library is not here: {error}")
    assert cubin[:4] == b"\x7fELF"
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".cubin", ".sha256"]
    assert build(Tiling(3, 64, 3), bounded=False, dtype="f16") == cubin
    assert SOURCE.is_file()


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton: pip install triton")
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 5), (23, 71), (36, 72), (72, 126), (144, 288), (288, 504)])
def test_a_window_holds_every_input_that_its_run_reads(inputs: int, outputs: int) -> None:
    from depthport.exporters.da3.kernels.cuda.upsampled import window

    def lower(position: int) -> int:
        return int(min(max(position, 0), outputs - 1) * (inputs - 1) / max(outputs - 1, 1))

    for samples in (16, 32, 64):
        for first in range(0, outputs, samples):
            start = lower(first - 1)
            assert min(lower(first + samples) + 1, inputs - 1) - start < window(samples, inputs, outputs)
