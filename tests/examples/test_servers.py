"""What is not run here: a Triton configuration is parsed, a ROS 2 node is read and fed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.predict.sample import EXAMPLES, write_sample
from tests.conftest import Exported
from tests.examples.triton import parse_config


@pytest.mark.parametrize("kind", ["float", "pixels"])
def test_triton(kind: str, artifact: Artifact, pixels: Artifact, tmp_path: Path) -> None:
    import onnx

    given = artifact if kind == "float" else pixels
    write_sample(given, "triton", tmp_path / "repository")
    folder = tmp_path / "repository" / "da3"
    config = parse_config((folder / "config.pbtxt").read_text(encoding="utf-8"))
    assert config.name == folder.name, "Triton wants the folder's name"
    assert (config.backend, config.max_batch_size) == ("onnxruntime", 0)
    graph = onnx.load(folder / "1" / "model.onnx", load_external_data=False).graph
    for tensors, values in ((config.input, graph.input), (config.output, graph.output)):
        assert {t.name: (t.data_type, list(t.dims)) for t in tensors} == {
            value.name: (
                {1: "TYPE_FP32", 2: "TYPE_UINT8", 7: "TYPE_INT64"}[value.type.tensor_type.elem_type],
                [d.dim_value for d in value.type.tensor_type.shape.dim],
            )
            for value in values
        }


# sensor_msgs/msg/Image.msg and CameraInfo.msg of ROS 2 (common_interfaces, Jazzy).
MESSAGES = {
    "Image": {"header", "height", "width", "encoding", "is_bigendian", "step", "data"},
    "CameraInfo": {"header", "height", "width", "distortion_model", "d", "k", "r", "p", "binning_x", "binning_y", "roi"},
}


def test_ros2_node_is_python_and_uses_fields_that_there_are() -> None:
    """ROS 2 is not here: the node's syntax and fields are checked, and what it feeds; it was not run."""
    path = EXAMPLES / "ros2" / "da3_depth" / "da3_depth" / "node.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used: dict[str, set[str]] = {"Image": set(), "CameraInfo": set()}
    kinds = {"message": "Image", "picture": "Image", "camera": "CameraInfo"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in kinds:
            used[kinds[node.value.id]].add(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in used:
            used[node.func.id] |= {str(keyword.arg) for keyword in node.keywords}
    for kind, fields in used.items():
        assert fields and fields <= MESSAGES[kind], kind


def test_ros2_feeds_what_the_network_takes(exported: Exported, tmp_path: Path) -> None:
    write_sample(exported("onnx"), "ros2", tmp_path / "ws")
    program = """
import sys, types
from types import SimpleNamespace
for name in ("rclpy", "rclpy.node", "rclpy.qos", "sensor_msgs", "sensor_msgs.msg"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["rclpy.node"].Node = object
sys.modules["rclpy.qos"].qos_profile_sensor_data = None
sys.modules["sensor_msgs.msg"].Image = sys.modules["sensor_msgs.msg"].CameraInfo = None
import numpy as np
from da3_depth.node import network_input
rgb = np.random.default_rng(0).integers(0, 256, (70, 98, 3), np.uint8)
padded = np.zeros((70, 300), np.uint8)
padded[:, :294] = rgb.reshape(70, 294)
message = SimpleNamespace(height=70, width=98, step=300, encoding="rgb8", data=padded.tobytes())
image = network_input(message)
message.encoding, message.data = "bgr8", np.pad(rgb[..., ::-1].reshape(70, 294), ((0, 0), (0, 6))).tobytes()
assert (network_input(message) == image).all()
np.savez("fed.npz", image=image, rgb=rgb)
"""
    place = tmp_path / "ws" / "da3_depth"
    subprocess.run([sys.executable, "-c", program], cwd=place, check=True, timeout=120)
    from depthport.exporters.inputs.preprocess import normalise

    with np.load(place / "fed.npz") as fed:
        np.testing.assert_allclose(fed["image"], normalise(fed["rgb"][None, None]), atol=1e-6)
