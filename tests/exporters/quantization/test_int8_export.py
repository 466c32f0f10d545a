"""`--format onnx --precision int8`: what is in the file, that it keeps depth and poses, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from depthport.exporters.api import prepare
from depthport.exporters.core.artifact import Artifact, Shape
from depthport.exporters.core.errors import ExportError, InputError, UnsupportedError, UsageError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.onnx.exporter import OnnxExporter
from depthport.exporters.quantization.images import SHIPPED, SHIPPED_HELD_OUT, find_images, held_out_scenes, scene, split
from tests.conftest import export_small

onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
ort = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two smooth random pictures."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for index in range(2):
        small = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(small).resize((220, 180), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def artifacts(store: ArtifactStore) -> tuple[Artifact, Artifact]:
    """fp32 and int8 for ONNX Runtime's CPU provider, two views, calibrated on the shipped photographs."""
    changes = {"views": 2, "target": "ort-cpu"}
    return (
        export_small(store, "onnx", **changes).artifact,
        export_small(store, "onnx", precision="int8", **changes).artifact,
    )


def session(artifact: Artifact, **options: object) -> Any:
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = 1
    for name, value in options.items():
        setattr(chosen, name, value)
    return ort.InferenceSession(str(artifact.file("model.onnx")), chosen, providers=["CPUExecutionProvider"])


def test_depth_and_poses_stay(artifacts: tuple[Artifact, Artifact]) -> None:
    from depthport.bench.inputs.inputs import load_scenes
    from depthport.exporters.quantization.sensitivity import compare

    plain, quantized = map(session, artifacts)
    names = [output.name for output in plain.get_outputs()]
    for held_out in load_scenes(Shape(1, 2, 70, 98), sets=4):
        expected, found = (dict(zip(names, s.run(None, held_out.arrays()), strict=True)) for s in (plain, quantized))
        depth, rotation = compare(found, expected)
        assert 0 < depth <= 1e-2, held_out.name
        assert 0 < rotation <= 0.5, held_out.name


def test_what_was_chosen_is_in_the_graph_and_the_reasons_in_the_manifest(artifacts: tuple[Artifact, Artifact]) -> None:
    quantized = artifacts[1]
    report = quantized.manifest.extra["quantization"]
    model = onnx.load(quantized.file("model.onnx"))
    counts = Counter(node.op_type for node in model.graph.node)
    linears = [name for name in report["layers"] if name.startswith("backbone.")]
    assert counts["ScatterND"] == len(linears) > 5, "a float row of the camera token each"
    chosen = {row["layer"] for row in report["sensitivity"] if row["quantized"]}
    assert chosen == set(report["layers"])
    assert len(report["sensitivity"]) > len(chosen) > 0
    assert not chosen & set(report["held_out"]["given_back"])
    assert report["held_out"]["depth"] <= 8e-3
    assert report["held_out"]["rotation_deg"] <= 0.4
    assert report["held_out"]["scenes"] >= 8
    assert not [name for name in report["layers"] if "patch_embed" in name or "camera" in name or "logits" in name]
    types = {value.data_type for value in model.graph.initializer if value.name.endswith(".weight_int8")}
    assert types == {onnx.TensorProto.INT8}


def test_onnxruntime_runs_it_in_integers(artifacts: tuple[Artifact, Artifact], tmp_path: Path) -> None:
    session(artifacts[1], optimized_model_filepath=str(tmp_path / "optimized.onnx"), log_severity_level=3)
    counts = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph.node)
    layers = artifacts[1].manifest.extra["quantization"]["layers"]
    linears = sum(name.startswith("backbone.") for name in layers)
    assert counts["MatMulIntegerToFloat"] == linears
    assert counts["QLinearConv"] == len(layers) - linears


def request(**changes: Any) -> ExportRequest:
    arguments = {"model": "da3-small", "format": "onnx", "precision": "int8", "height": 70, "width": 98}
    return prepare(**{**arguments, "weights": "synthetic:0", **changes})


def options(tmp_path: Path | None, **given: object) -> Mapping[str, Any]:
    return OnnxExporter().options(request(options=given))


def test_the_images_contents_are_part_of_the_key(photographs: Path) -> None:
    first = options(None, calibration=str(photographs))
    assert first["calibration"] == options(None, calibration=[str(photographs)])["calibration"]
    one = options(None, calibration=str(photographs / "0.png"))
    assert one["calibration"] != first["calibration"]
    assert first["mix"] == "measured"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"calibration": "no-such-folder"}, "neither a file nor a folder"),
        ({"mix": "everything"}, "one of measured, weights, all"),
        ({"max_rotation_deg": 0}, "a number above 0"),
        ({"max_depth_error": "little"}, "a number above 0"),
        ({"bits": 4}, "no option 'bits'"),
    ],
)
def test_wrong_options_are_usage_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options(None, **given)


def test_a_folder_without_images_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UsageError, match="no image in"):
        find_images(str(tmp_path))


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and then nothing")
    with pytest.raises(InputError, match=r"broken\.png can't be read"):
        scene(tmp_path / "broken.png", Shape(1, 1, 70, 98))


def test_open_dimensions_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="dynamic views"):
        OnnxExporter().options(request(dynamic=("views",)))


def test_no_photograph_is_calibrated_on_and_judged_by() -> None:
    from depthport.bench.inputs.photographs import SINGLE

    judged = {*SINGLE.values(), "motorcycle_left.png", "motorcycle_right.png"}
    assert not judged & {*SHIPPED, *SHIPPED_HELD_OUT}
    assert not set(SHIPPED) & set(SHIPPED_HELD_OUT)


@pytest.mark.parametrize(("given", "calibrated", "tried"), [(1, "0", ""), (3, "012", ""), (8, "012456", "37")])
def test_every_fourth_picture_of_the_user_is_held_out(tmp_path: Path, given: int, calibrated: str, tried: str) -> None:
    for index in range(given):
        Image.new("RGB", (40, 30), (index, 0, 0)).save(tmp_path / f"{index}.png")
    paths, held_out = split(str(tmp_path))
    assert ["".join(path.stem for path in found) for found in (paths, held_out)] == [calibrated, tried]


def test_held_out_scenes_are_none_of_those_calibrated_on(photographs: Path) -> None:
    paths, held_out = split(str(photographs))
    shape = Shape(1, 2, 70, 98)
    seen = {scene(path, shape)[0, view].tobytes() for path in paths for view in range(2)}
    scenes = held_out_scenes(paths, held_out, shape, 24)
    assert len(scenes) == 4
    assert not seen & {image[0, view].tobytes() for image in scenes for view in range(2)}


@pytest.mark.slow
def test_a_budget_that_no_layer_keeps_is_an_error(store: ArtifactStore, photographs: Path) -> None:
    with pytest.raises(ExportError, match="int8 can't keep depth within 1e-07"):
        export_small(
            store, "onnx", precision="int8", target="ort-cpu",
            options={"calibration": str(photographs), "max_depth_error": 1e-7},
        )  # fmt: skip


def test_views_of_a_calibration_scene_differ(photographs: Path) -> None:
    image = scene(photographs / "0.png", Shape(1, 7, 70, 98))
    assert image.shape == (1, 7, 3, 70, 98)
    assert image.dtype == np.float32
    views = {image[0, view].tobytes() for view in range(7)}
    assert len(views) == 7


def test_a_graph_with_another_weight_is_refused(artifacts: tuple[Artifact, Artifact]) -> None:
    from depthport.exporters.onnx.quantize import quantize_graph
    from depthport.exporters.quantization.rounding import activation_grid, round_gptq
    from depthport.exporters.quantization.sensitivity import QuantizedLayer

    model = ir.load(artifacts[0].file("model.onnx"))
    weight = np.random.default_rng(0).standard_normal((384, 384)).astype(np.float32)
    codes, scales = round_gptq(weight, np.zeros((len(weight), len(weight))))
    name = "backbone.blocks.3.attn.proj"
    layer = QuantizedLayer(name, codes, scales, None, activation_grid(-1, 1, False), None, 1.0)
    with pytest.raises(ExportError, match="a weight in the graph that differs"):
        quantize_graph(model, [layer], {name: weight.T})
