"""Depth and cameras of photographs with ONNX Runtime.

pip install onnxruntime numpy opencv-python-headless
python with_onnxruntime.py left.jpg right.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime
from model import MODEL
from photographs import load, save

paths = sys.argv[1:]
session = onnxruntime.InferenceSession(str(Path(__file__).with_name(MODEL)), providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
outputs = dict(zip(names, session.run(names, {"image": load(paths)}), strict=True))
save(outputs, paths)
print({name: value.shape for name, value in outputs.items()})
