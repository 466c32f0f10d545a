"""The table of ours beside what a user would run instead: real processes on a small file, and what a row says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from depthport.bench.studies.alternative_cells import BASELINE, OUTPUTS, innermost
from depthport.bench.studies.alternatives import measure, table

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def write_model(path: Path, gain: float) -> None:
    """Outputs of upstream's names from the picture's mean: depth times `gain`, cameras turned where it is not 1."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    angle = gain - 1
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    camera = np.concatenate([rotation, np.ones((3, 1))], axis=1).reshape(1, 1, 3, 4)
    constants = {"gain": np.float32(gain), "camera": camera, "lens": np.eye(3).reshape(1, 1, 3, 3)}
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("Abs", ["mean"], ["depth_conf"]),
        helper.make_node("Mul", ["depth_conf", "gain"], ["depth"]),
        helper.make_node("Identity", ["camera"], ["extrinsics"]),
        helper.make_node("Identity", ["lens"], ["intrinsics"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", kind, [1, 1, 3, 8, 8])],
        [helper.make_tensor_value_info(name, kind, None) for name in OUTPUTS],
        [onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_every_cell_is_timed_in_every_round_and_judged_by_the_baseline(tmp_path: Path) -> None:
    write_model(tmp_path / "right.onnx", 1.0)
    write_model(tmp_path / "off.onnx", 1.01)
    np.save(tmp_path / "image.npy", np.random.default_rng(0).standard_normal((1, 1, 3, 8, 8)).astype(np.float32))
    chosen = [
        {"name": name, "kind": "onnxruntime", "path": str(tmp_path / file), "threads": 1}
        for name, file in ((BASELINE, "right.onnx"), ("off", "off.onnx"), ("missing", "missing.onnx"))
    ]
    live = measure(chosen, [str(tmp_path / "image.npy")], tmp_path, seconds=0.0, calls=2)
    assert [len(cell.blocks) for cell in live] == [3, 3, 0]
    lines = list(table(live, gflop=1e-3, sgemm_gflop_s=100.0))
    assert len(lines) == 5
    baseline, off, missing = (line.split(" | ") for line in lines[2:])
    assert baseline[1] == off[1] == "6", "three rounds of two calls"
    assert baseline[3] == "1"
    assert "×" in off[3]
    assert baseline[4].endswith(" %")
    assert float(off[5]) == pytest.approx(0.01, rel=0.1)
    assert float(off[6].rstrip("°")) == pytest.approx(np.degrees(0.01), abs=2e-3)
    assert float(off[7]) > 0
    assert "(100 %)" in baseline[8]
    assert "failed:" in missing[2]


def test_what_a_package_wraps_around_an_error_is_taken_off() -> None:
    try:
        try:
            json.loads("{")
        except ValueError as error:
            raise RuntimeError("step 1 of 3\n\nfailed") from error
    except RuntimeError as error:
        assert innermost(error).startswith("JSONDecodeError: Expecting property name")
