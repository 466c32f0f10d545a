"""ONNX files of da3-small for TensorRT, in every precision, and what its real parser makes of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.da3.request import ExportRequest
from tests.conftest import Exported

VIEWS = 3
"""The fewest for which a reference view is chosen."""


@pytest.fixture(scope="session")
def trt() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed")


@pytest.fixture(scope="session")
def graphs(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`graphs(precision)`: path of da3-small's graph, three views of 70×98; with Q/DQ nodes where it is quantized."""
    for name in ("torch", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)

    @cache
    def make(precision: str) -> Path:
        from depthport.exporters.core.precision import POLICIES
        from depthport.exporters.tensorrt.graph import graph_policy
        from depthport.exporters.tensorrt.quantize import quantize_file

        policy = POLICIES[precision]
        base = graph_policy(policy).name
        path: Path = exported("onnx", target="tensorrt", views=VIEWS, precision=base).file("model.onnx")
        if policy.quantization is None:
            return path
        destination = tmp_path_factory.mktemp(precision) / "quantized.onnx"
        quantize_file(path, make("fp32"), destination, request(precision), None, None, lambda step: None)
        return destination

    return make


def request(precision: str = "fp32", **changes: Any) -> ExportRequest:
    from depthport.exporters.api import prepare

    return prepare(
        **{
            "model": "da3-small", "format": "tensorrt-rtx", "precision": precision, "views": VIEWS, "height": 70,
            "width": 98, "weights": "synthetic:0", "target": "sm89", **changes,
        }
    )  # fmt: skip
