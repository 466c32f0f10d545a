"""Artifacts of a network of three operators, in seconds what an exported model takes minutes for.

Same names, shapes and dtypes as an any-view model's; every output depends on every pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from depthport.exporters.core.artifact import (
    MANIFEST,
    Artifact,
    FileInfo,
    Manifest,
    Shape,
    TensorSpec,
    WeightsInfo,
    artifact_key,
)
from depthport.exporters.core.files.atomic import write_json
from depthport.exporters.core.precision import resolve_policy
from depthport.exporters.core.provenance import file_sha256

SHAPE = Shape(1, 2, 70, 98)
WIDTH = 256
"""Channels of the hidden layer: enough work that a copy of the outputs is small beside it."""


def seal(
    folder: Path, format: str, precision: str = "fp32", shape: Shape = SHAPE, extra: Mapping[str, Any] | None = None
) -> Artifact:
    """The manifest of the files already in `folder`."""
    b, n, h, w = shape.batch, shape.views, shape.height, shape.width
    manifest = Manifest(
        key=artifact_key({"tiny": format, "precision": precision, "shape": str(shape)}),
        model="da3-small",
        weights=WeightsInfo("synthetic:0", "0" * 64, True, "none (synthetic)"),
        format=format,
        precision=resolve_policy(precision).to_json(),
        shape=shape,
        inputs=(TensorSpec("image", (b, n, 3, h, w), "float32"),),
        outputs=(
            TensorSpec("depth", (b, n, h, w), "float32"),
            TensorSpec("intrinsics", (b, n, 3, 3), "float32"),
            TensorSpec("reference_view", (b,), "int64"),
        ),
        options={"target": None},
        versions={},
        extra=dict(extra or {}),
        files=tuple(
            FileInfo(path.relative_to(folder).as_posix(), path.stat().st_size, file_sha256(path))
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != MANIFEST
        ),
    )
    write_json(folder / MANIFEST, manifest.to_json())
    return Artifact(folder, manifest)


def tiny_network() -> Any:
    """A torch module (1, 2, 3, 70, 98) to depth, intrinsics, reference_view."""
    import torch
    from torch import Tensor, nn

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, WIDTH, 3, padding=1)
            self.second = nn.Conv2d(WIDTH, 1, 3, padding=1)
            self.register_buffer("eye", torch.eye(3), persistent=False)

        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            features = torch.relu(self.first(image.flatten(0, 1)))
            depth = torch.exp(self.second(features).squeeze(1).unflatten(0, image.shape[:2]))
            intrinsics = self.get_buffer("eye") * depth.mean(dim=(2, 3), keepdim=True)
            return depth, intrinsics, depth.mean(dim=(2, 3)).argmax(dim=1)

    return Tiny().eval().requires_grad_(False)


def tiny_onnx(folder: Path) -> Artifact:
    """A hand-made `model.onnx` of the same network's shape (random weights of its own)."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    b, n, h, w = SHAPE.batch, SHAPE.views, SHAPE.height, SHAPE.width
    constants = {
        "w1": (rng.standard_normal((WIDTH, 3, 3, 3)) * 0.1).astype(np.float32),
        "w2": (rng.standard_normal((1, WIDTH, 3, 3)) * 0.02).astype(np.float32),
        "views": np.array([b * n, 3, h, w]),
        "scene": np.array([b, n, h, w]),
        "eye": np.eye(3, dtype=np.float32),
        "pixels": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Reshape", ["image", "views"], ["x"]),
        helper.make_node("Conv", ["x", "w1"], ["features"], pads=[1] * 4),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("Conv", ["active", "w2"], ["flat"], pads=[1] * 4),
        helper.make_node("Reshape", ["flat", "scene"], ["log_depth"]),
        helper.make_node("Exp", ["log_depth"], ["depth"]),
        helper.make_node("ReduceMean", ["depth", "pixels"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["eye", "mean"], ["intrinsics"]),
        helper.make_node("Squeeze", ["mean", "pixels"], ["per_view"]),
        helper.make_node("ArgMax", ["per_view"], ["reference_view"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [b, n, 3, h, w])],
        [
            helper.make_tensor_value_info("depth", TensorProto.FLOAT, [b, n, h, w]),
            helper.make_tensor_value_info("intrinsics", TensorProto.FLOAT, [b, n, 3, 3]),
            helper.make_tensor_value_info("reference_view", TensorProto.INT64, [b]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    return seal(folder, "onnx")


def tiny_pytorch(folder: Path, precision: str = "fp32") -> Artifact:
    """`program.pt2` and `model.safetensors` of :func:`tiny_network`, as the exporter writes them."""
    import torch
    from safetensors.torch import save_file

    from depthport.exporters.pytorch.exporter import borrow_parameters, program_bytes
    from depthport.exporters.pytorch.program import strip

    network = tiny_network()
    state = network.state_dict()
    b, n, h, w = SHAPE.batch, SHAPE.views, SHAPE.height, SHAPE.width
    program = torch.export.export(network, (torch.zeros(b, n, 3, h, w),))
    strip(program)
    folder.mkdir(parents=True, exist_ok=True)
    borrowed = borrow_parameters(program, state)
    (folder / "program.pt2").write_bytes(program_bytes(program, borrowed))
    save_file({f"model.{name}": tensor for name, tensor in state.items()}, folder / "model.safetensors")
    return seal(folder, "pytorch", precision)


TINY_OUTPUTS = ("depth", "intrinsics", "reference_view")


def tiny_litert(folder: Path) -> Artifact:
    """`model.tflite` of :func:`tiny_network`, through the exporter's own converter."""
    from depthport.exporters.litert.convert import convert

    arguments = {"model": "model.tflite", "inputs": ["image"], "outputs": list(TINY_OUTPUTS)}
    return _converted(folder, "litert", convert, arguments)


def tiny_executorch(folder: Path) -> Artifact:
    """`model.pte` of :func:`tiny_network`, lowered as the exporter does it."""
    from depthport.exporters.executorch.convert import lower

    arguments = {"model": "model.pte", "backend": "xnnpack"}
    return _converted(folder, "executorch", lower, arguments)


def tiny_program(folder: Path) -> Path:
    """:func:`tiny_network` as `torch.export.save` writes it, for a converter."""
    import torch

    b, n, h, w = SHAPE.batch, SHAPE.views, SHAPE.height, SHAPE.width
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "program.pt2"
    torch.export.save(torch.export.export(tiny_network(), (torch.zeros(b, n, 3, h, w),)), program)
    return program


def _converted(folder: Path, format: str, function: Any, arguments: dict[str, Any]) -> Artifact:
    from depthport.exporters.core.isolation import call_isolated

    program = tiny_program(folder)
    call_isolated(function, {"program": program.name, **arguments}, folder, programs=("flatc",))
    program.unlink()
    return seal(folder, format)


def tiny_coreai(folder: Path) -> Artifact:
    """`model.aimodel` of :func:`tiny_network`, as the exporter writes it."""
    import torch
    from coreai.runtime import AIModelAssetMetadata

    from depthport.exporters.coreai.convert import capture, convert, save
    from depthport.exporters.coreai.exporter import ASSET

    b, n, h, w = SHAPE.batch, SHAPE.views, SHAPE.height, SHAPE.width
    program, _ = convert(capture(tiny_network(), [torch.zeros(b, n, 3, h, w)]), ["image"], TINY_OUTPUTS)
    folder.mkdir(parents=True, exist_ok=True)
    save(program, folder / ASSET, AIModelAssetMetadata(), "iOS27")
    return seal(folder, "coreai", extra={"asset": ASSET})


def tiny_matmul_onnx(folder: Path) -> Artifact:
    """A hand-made `model.onnx` without convolution or reference view: all that young execution providers take."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    b, n, h, w = SHAPE.batch, SHAPE.views, SHAPE.height, SHAPE.width
    constants = {
        "views": np.array([b * n, 3, h, w]),
        "w1": (rng.standard_normal((w, WIDTH)) / np.sqrt(w)).astype(np.float32),
        "w2": (rng.standard_normal((WIDTH, w)) * 0.2 / np.sqrt(WIDTH)).astype(np.float32),
        "channels": np.array([1]),
        "pixels": np.array([2, 3]),
        "scene": np.array([b, n, h, w]),
        "eye": np.eye(3, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["image", "views"], ["x"]),
        helper.make_node("MatMul", ["x", "w1"], ["features"]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("MatMul", ["active", "w2"], ["colours"]),
        helper.make_node("ReduceMean", ["colours", "channels"], ["flat"], keepdims=0),
        helper.make_node("Reshape", ["flat", "scene"], ["log_depth"]),
        helper.make_node("Exp", ["log_depth"], ["depth"]),
        helper.make_node("ReduceMean", ["depth", "pixels"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["eye", "mean"], ["intrinsics"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [b, n, 3, h, w])],
        [
            helper.make_tensor_value_info("depth", TensorProto.FLOAT, [b, n, h, w]),
            helper.make_tensor_value_info("intrinsics", TensorProto.FLOAT, [b, n, 3, 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / "model.onnx")
    sealed = seal(folder, "onnx")
    outputs = tuple(spec for spec in sealed.manifest.outputs if spec.name != "reference_view")
    return Artifact(folder, replace(sealed.manifest, outputs=outputs))
