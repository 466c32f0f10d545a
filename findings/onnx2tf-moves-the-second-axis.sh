#!/bin/bash
# An ONNX file whose input has five axes (scene, view, channel, row, column), converted to LiteRT by onnx2tf.
# Good guess: the .tflite takes what the ONNX file takes, (1, 2, 3, 4, 5), or channels last, (1, 2, 4, 5, 3).
# What happens: the second axis, the views, goes last: (1, 3, 4, 5, 2), as if five axes were (batch, channel, depth, row,
# column). Values are right only for who knows that. And the ONNX file is not what it was before: it is written over.
# onnx2tf 2.6.9, ai-edge-litert 2.1.2, Linux x86-64, Python 3.12 (it needs that one). Fails when axes and file stay.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/python -m pip install -q onnx2tf==2.6.9 ai-edge-litert==2.1.2
cat > convert.py <<'PY'
from pathlib import Path

import numpy as np
import onnx
import onnx2tf
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

value = helper.make_tensor_value_info
graph = helper.make_graph(
    [
        helper.make_node("Mul", ["image", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axes"], ["sum"], keepdims=0),
    ],
    "views",
    [value("image", TensorProto.FLOAT, [1, 2, 3, 4, 5])],
    [value("sum", TensorProto.FLOAT, [1, 2])],
    [
        numpy_helper.from_array(np.arange(3, dtype=np.float32).reshape(1, 1, 3, 1, 1), "weights"),
        numpy_helper.from_array(np.array([2, 3, 4]), "axes"),
    ],
)
file = Path("model.onnx")
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)
before = file.read_bytes()
onnx2tf.convert(input_onnx_file_path=str(file), output_folder_path="out", non_verbose=True)
model = Interpreter("out/model_float32.tflite")
shape = tuple(model.get_input_details()[0]["shape"].tolist())
print(f"takes {shape}; the ONNX file is {'the same' if file.read_bytes() == before else 'another'}")
assert shape == (1, 3, 4, 5, 2) and file.read_bytes() != before, "axes or file stay now"
PY
venv/bin/python -W ignore convert.py 2>/dev/null
# Seen: takes (1, 3, 4, 5, 2); the ONNX file is another
