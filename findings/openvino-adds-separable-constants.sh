#!/bin/bash
# x + column + row in OpenVINO, where the two constants are a row and a column of a map.
# Good guess: a graph that holds a position embedding as 4·(24 + 20) numbers is compiled to one that holds as many.
# What happens: the compiler adds the constants up first, x + (column + row), and the compiled model holds the map: of DA3's
# head at 504×504 62 MiB, in memory and in the cache, of a file that avoided them. A Clip to all finite numbers between
# the sums keeps them apart.
# openvino 2026.4.1, numpy 2.3.5, Linux x86-64, Python 3.11. Fails when the constants stay as they are.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q openvino==2026.4.1 numpy==2.3.5
venv/bin/python -W ignore - <<'PY'
import numpy as np
import openvino as ov
from openvino import opset13 as ops

SIZE = (1, 4, 24, 20)


def largest_constant(apart):
    x = ops.parameter(SIZE, np.float32)
    total = ops.add(x, ops.constant(np.full((1, 4, 1, 20), 0.5, np.float32)))
    if apart:
        total = ops.clamp(total, -3e38, 3.4028234663852886e38)
    total = ops.add(total, ops.constant(np.full((1, 4, 24, 1), 0.25, np.float32)))
    compiled = ov.compile_model(ov.Model([total], [x]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds = [op for op in compiled.get_runtime_model().get_ops() if op.get_rt_info()["layerType"].value == "Const"]
    return max(int(np.prod(op.output(0).shape)) for op in kinds)


added, apart = largest_constant(False), largest_constant(True)
print(f"largest constant: {added} numbers; with a Clip between the sums {apart}")
assert (added, apart) == (4 * 24 * 20, 4 * 24), "the constants are held in another way now"
PY
# Seen: largest constant: 1920 numbers; with a Clip between the sums 96
