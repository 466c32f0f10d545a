"""Q/DQ nodes: ranges from photographs, 8-bit weights, and what is left of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError, UsageError
from depthport.exporters.onnx.graph_file import read_graph
from depthport.exporters.onnx.probes import fetch, session
from depthport.exporters.quantization.images import find_images, scene
from depthport.exporters.tensorrt.calibrate import backbone_products, calibrate
from depthport.exporters.tensorrt.quantize import LIMITS, before_selection, quantize_weight

ml_dtypes = pytest.importorskip("ml_dtypes")


@pytest.mark.parametrize(("kind", "step"), [("int8", 0.5 / 127), ("fp8", 1 / 16)])
def test_weights_have_one_scale_a_column(kind: str, step: float) -> None:
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((64, 8)) * 10.0 ** np.arange(-4, 4)).astype(np.float32)
    weight[:, 3] = 0
    values, scale = quantize_weight(weight, kind)
    assert values.dtype.itemsize == 1 and scale.shape == (8,)
    restored = values.astype(np.float32) * scale
    assert (np.abs(restored - weight).max(axis=0) <= step * np.abs(weight).max(axis=0) + 1e-12).all()
    assert np.abs(values.astype(np.float32)).max() == LIMITS[kind]


def test_ranges_are_those_of_the_fp32_network(graphs: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    import onnx_ir as ir

    path = graphs("fp32")
    images = [scene(image, Shape(1, 3, 70, 98)) for image in find_images(None)[:2]]
    ranges = calibrate(path, images, lambda step: None)
    model = read_graph(path)
    products = backbone_products(model)
    assert len(ranges) == len(products) == 48
    scope = "backbone.blocks.7.mlp.fc2"
    value = products[scope].inputs[0]
    assert value is not None
    model.graph.outputs.append(value)
    native = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    largest = max(float(np.abs(native.run([value.name], {"image": image})[0]).max()) for image in images)
    assert ranges[scope].largest == pytest.approx(largest, rel=1e-5)
    assert all(0 < found.percentile <= found.largest for found in ranges.values())


def test_the_choice_of_the_view_keeps_its_precision(graphs: Any) -> None:
    model = read_graph(graphs("fp32"))
    kept = before_selection(model)
    scopes = {scope for scope, node in backbone_products(model).items() if node in kept}
    assert {scope.split(".")[2] for scope in scopes} == {"0", "1", "2"}


def test_int8_keeps_depth_and_view(graphs: Any) -> None:
    """The quantized graph in ONNX Runtime: the same view, depth within what 8 bits allow."""
    pytest.importorskip("onnxruntime")
    image = scene(find_images(None)[0], Shape(1, 3, 70, 98))
    results = []
    for precision in ("fp32", "int8"):
        # Without rewrites: ONNX Runtime 1.32 fuses signed Q/DQ products into a graph that it then refuses itself.
        with session(read_graph(graphs(precision))) as native:
            results.append(fetch(native, [output.name for output in native.get_outputs()], {"image": image}))
    exact, found = results
    np.testing.assert_array_equal(found["reference_view"], exact["reference_view"])
    error = np.linalg.norm(found["depth"] - exact["depth"]) / np.linalg.norm(exact["depth"])
    assert 1e-5 < error < 0.1


@pytest.mark.parametrize(("files", "complaint"), [({}, "no image in"), ({"a.png": b"no image"}, "can't be read")])
def test_images_that_are_none_are_one_line(files: dict[str, bytes], complaint: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises((InputError, UsageError), match=complaint) as raised:
        [scene(image, Shape(1, 1, 28, 28)) for image in find_images(str(tmp_path))]
    assert "\n" not in str(raised.value)
