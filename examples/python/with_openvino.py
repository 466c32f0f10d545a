"""Depth and cameras of photographs with OpenVINO.

pip install openvino numpy opencv-python-headless
python with_openvino.py left.jpg right.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import openvino
from model import MODEL
from photographs import load, save

paths = sys.argv[1:]
# Without the hint a CPU that can takes bf16, in which depth is another.
config = {"INFERENCE_PRECISION_HINT": "f32"}
compiled = openvino.Core().compile_model(Path(__file__).with_name(MODEL), "CPU", config)
found = compiled({"image": load(paths)})
outputs = {port.any_name: found[port] for port in compiled.outputs}
save(outputs, paths)
print({name: value.shape for name, value in outputs.items()})
