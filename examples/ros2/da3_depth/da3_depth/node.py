"""ROS 2 node: `image` (sensor_msgs/Image, rgb8 or bgr8) in; `depth` (32FC1) and `camera_info` of the network's pixels out.

    pip install onnxruntime
    colcon build && ros2 run da3_depth depth --ros-args -r image:=/camera/image_raw

Each picture is a scene of its own. Depth is up to one scale a picture unless the model is a metric one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from da3_depth.model import HEIGHT, MEAN, MODEL, STD, UINT8, VIEWS, WIDTH
from da3_depth.pixels import fit, normalise


class Depth(Node):  # type: ignore[misc]
    """Runs the newest picture; those that come while it runs are dropped (a queue of one)."""

    def __init__(self) -> None:
        super().__init__("da3_depth")
        if VIEWS != 1:
            raise RuntimeError(f"this node feeds one picture at a time, and the model takes {VIEWS}: export with --views 1")
        path = self.declare_parameter("model", str(Path(__file__).with_name(MODEL))).value
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.depth = self.create_publisher(Image, "depth", qos_profile_sensor_data)
        self.info = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self.create_subscription(Image, "image", self.run, qos_profile_sensor_data)

    def run(self, message: Any) -> None:
        """Depth of one picture, with its time and frame."""
        if message.encoding not in ("rgb8", "bgr8"):
            self.get_logger().error(f"encoding {message.encoding}: rgb8 or bgr8 is needed", once=True)
            return
        depth, intrinsics = self.session.run(["depth", "intrinsics"], {"image": network_input(message)})
        picture = Image(header=message.header, height=depth.shape[2], width=depth.shape[3], encoding="32FC1")
        picture.is_bigendian, picture.step = 0, depth.shape[3] * 4
        picture.data = depth[0, 0].astype("<f4").tobytes()
        camera = CameraInfo(header=message.header, height=picture.height, width=picture.width)
        camera.distortion_model, camera.d = "plumb_bob", [0.0] * 5
        camera.k = intrinsics[0, 0].astype(float).ravel().tolist()
        camera.r = np.eye(3).ravel().tolist()
        camera.p = np.hstack([intrinsics[0, 0], np.zeros((3, 1))]).astype(float).ravel().tolist()
        self.depth.publish(picture)
        self.info.publish(camera)


def network_input(message: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """`image` of one picture."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    rgb = rows[:, : message.width * 3].reshape(message.height, message.width, 3)
    rgb = rgb[..., ::-1] if message.encoding == "bgr8" else rgb
    fitted = fit(np.ascontiguousarray(rgb), HEIGHT, WIDTH)[None, None]
    image: np.ndarray[Any, np.dtype[Any]] = fitted if UINT8 else normalise(fitted, MEAN, STD)
    return image


def main() -> None:
    """Run the node until it is shut down."""
    rclpy.init()
    node = Depth()
    try:
        rclpy.spin(node)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
