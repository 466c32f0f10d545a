"""Core ML's package against what an independent converter and runtime make of the same network and input."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.parity import compare, violations


@pytest.mark.skipif(
    find_spec("onnxruntime") is None or find_spec("onnx") is None, reason="onnx or onnxruntime is not installed"
)
def test_onnxruntime_agrees(converted: Any, tmp_path: Any) -> None:
    """torch's ONNX exporter and ONNX Runtime share neither converter nor kernels with the package's interpretation."""
    import onnxruntime
    import torch

    made = converted("fp32", views=3)
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        made.network, tuple(made.examples), str(path), dynamo=True, opset_version=20, input_names=["image"],
        output_names=list(made.network.face.outputs), verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values = session.run(None, {"image": made.examples[0].numpy()})
    reference = {n: torch.from_numpy(np.asarray(v)) for n, v in zip(made.network.face.outputs, values, strict=True)}
    errors = compare(Interpreter(made.package.function()).run(made.inputs), reference)
    print({name: f"{error.max_over_std:.1e}" for name, error in errors.items()})
    assert not violations(errors)
    assert errors["reference_view"].equal
