"""A cell's name says each thing once; names of before are read as those of now."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthport.bench.choice.compare import compare
from depthport.bench.choice.reproduce import reproduce
from depthport.bench.results.cell_id import cell_id, short_id
from depthport.bench.results.load_results import load_results
from tests.support.paths import ROOT

LONG = {
    "onnxruntime/cpu/cpu/fp32/ort-cpu": "onnxruntime/cpu/fp32",
    "onnxruntime/cuda:1/cuda/fp16/ort-cuda": "onnxruntime/cuda:1/fp16",
    "onnxruntime/cuda/cuda-graph/fp16/ort-cuda": "onnxruntime/cuda/cuda-graph/fp16",
    "onnxruntime/cuda/tensorrt/fp16/tensorrt": "onnxruntime/cuda/tensorrt/fp16",
    "onnxruntime/cpu/portable/fp32/portable": "onnxruntime/cpu/portable/fp32",
    "onnxruntime/cpu/quantize-dynamic/int8/portable": "onnxruntime/cpu/quantize-dynamic/int8/portable",
    "pytorch/cuda:0+1/fused/bf16-fp16/cuda": "pytorch/cuda:0+1/fused/bf16-fp16",
    "onnxruntime/cpu/cpu/fp32/ort-cpu/dynamic-views-size/control-aa": "onnxruntime/cpu/fp32/dynamic-views-size/control-aa",
    "tensorrt-rtx/cuda/enqueue/fp16/sm89": "tensorrt-rtx/cuda/enqueue/fp16/sm89",
    "onnxruntime/cuda/-/bf16": "onnxruntime/cuda/-/bf16",
}
RECORDS = sorted((ROOT / "bench" / "records").glob("*/results.json"))


@pytest.mark.parametrize(("long", "short"), LONG.items())
def test_what_repeats_is_left_out(long: str, short: str) -> None:
    runtime, device, mode, precision, *more = long.split("/")
    assert cell_id(runtime, device, mode, precision, more) == short
    assert short_id(long) == short == short_id(short)


@pytest.mark.parametrize("name", ["", "/", "//", "a", "a/b", "a/b/c", "////", "cpu/cpu/cpu/cpu/cpu"])
def test_whatever_a_file_calls_a_cell_has_one_short_name(name: str) -> None:
    assert short_id(short_id(name)) == short_id(name)


@pytest.mark.parametrize("path", RECORDS, ids=[path.parent.name for path in RECORDS])
def test_recorded_runs_are_read_under_the_short_names(path: Path) -> None:
    run = load_results(path).results
    names = [cell.id for cell in run.cells]
    assert names == [short_id(name) for name in names] and len(set(names)) == len(names)
    for cell in run.cells:
        assert cell.id.startswith(f"{cell.runtime}/{cell.device}/") and cell.precision in cell.id.split("/")
    assert set(compare(run, run).counts) <= {"equivalent", "inconclusive", "not comparable"}


def test_a_long_name_finds_its_cell() -> None:
    run = load_results(next(path for path in RECORDS if "xeon" in path.parent.name)).results
    assert reproduce(run, "onnxruntime/cpu/cpu/fp32/ort-cpu").cell == "onnxruntime/cpu/fp32"
