"""The families through the exporters and runtimes: ONNX against upstream, host steps in the manifest, same bits twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("depth_anything_3")

from depthport.exporters.api import export, prepare  # noqa: E402
from depthport.exporters.core.artifact import Artifact, Manifest, Shape, load_artifact  # noqa: E402
from depthport.exporters.core.errors import UnsupportedError, UsageError, WeightsError  # noqa: E402
from depthport.exporters.core.store import ArtifactStore  # noqa: E402
from depthport.exporters.da3 import host  # noqa: E402
from depthport.exporters.da3.build import named_upstream  # noqa: E402
from depthport.exporters.da3.registry import get_model  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from depthport.exporters.da3.weights import load_state_dict, resolve_weights  # noqa: E402
from depthport.runtimes.base import LoadOptions  # noqa: E402
from depthport.runtimes.registry import get_runtime  # noqa: E402
from tests.support.family import write_config  # noqa: E402

HEIGHT, WIDTH = 70, 98
BOUND = 1e-5
Make = Callable[..., tuple[str, Artifact]]


@pytest.fixture(scope="module")
def made(store: ArtifactStore, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`made(name, format, **changes)`: what `--model` takes, and the artifact."""
    folder = tmp_path_factory.mktemp("configs")

    def make(name: str, format: str = "onnx", **changes: Any) -> tuple[str, Artifact]:
        model = write_config(folder, name) if name.startswith("tiny") else name
        arguments: dict[str, Any] = {"height": HEIGHT, "width": WIDTH, "weights": "synthetic:0", **changes}
        return model, export(model, format=format, store=store, **arguments).artifact

    return make


def image(views: int, batch: int = 1) -> Any:
    generator = torch.Generator().manual_seed(views)
    return torch.randn(batch, views, 3, HEIGHT, WIDTH, generator=generator)


def run(
    artifact: Artifact, inputs: Any, runtime: str = "onnxruntime", mode: str | None = None, repeats: int = 1
) -> dict[str, Any]:
    """Outputs of the last of `repeats` runs, which all give the same bits."""
    with get_runtime(runtime).load(artifact, "cpu", LoadOptions(mode=mode, threads=1)) as session:
        session.bind({"image": inputs.numpy()})
        found: dict[str, Any] = {}
        for _ in range(repeats):
            session.run()
            session.synchronize()
            before, found = found, session.outputs()
            assert all(np.array_equal(found[name], value) for name, value in before.items())
        return found


def build(model: str) -> Any:
    return named_upstream(model, "synthetic:0")


def expected(model: str, artifact: Artifact, inputs: Any) -> dict[str, Any]:
    """Upstream's outputs in fp32, finished by the artifact's host steps."""
    names = [spec.name for spec in artifact.manifest.outputs]
    raw = {name: value.numpy() for name, value in upstream_forward(build(model), inputs, names).items()}
    return host.apply(artifact.manifest.host_steps, raw)


def assert_near(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        error = np.linalg.norm((found[name] - value).astype(np.float64)) / max(np.linalg.norm(value), 1e-30)
        assert error <= BOUND, (name, error)


@pytest.mark.parametrize(("name", "views", "target"), [("tiny-mono", 2, None), ("tiny-nested", 3, "ort-cpu")])
def test_onnx_equals_upstream_and_itself(made: Make, name: str, views: int, target: str | None) -> None:
    model, artifact = made(name, views=views, target=target)
    inputs = image(views)
    found = run(artifact, inputs, repeats=19)
    assert_near(found, expected(model, artifact, inputs))
    again = run(artifact, inputs)
    assert all(np.array_equal(found[output], again[output]) for output in found)
    metadata = onnxruntime.InferenceSession(artifact.file("model.onnx")).get_modelmeta().custom_metadata_map
    assert metadata["depthport.model"] == name
    steps = json.loads(metadata["depthport.host_steps"])
    assert [step["name"] for step in steps] == [step.name for step in artifact.manifest.host_steps] != []


def test_rays_and_the_pose_from_them_through_onnx(made: Make) -> None:
    model, artifact = made("da3-small", views=3, outputs=["ray", "ray_conf", "extrinsics"], ray_pose=True)
    assert [step.name for step in artifact.manifest.host_steps] == ["pose_from_rays"]
    inputs = image(3)
    wanted = expected(model, artifact, inputs)
    found = run(artifact, inputs)
    assert found["ray"].shape == (1, 3, 40, 56, 6)
    for name in ("ray", "ray_conf"):
        assert np.linalg.norm(found[name] - wanted[name]) <= BOUND * np.linalg.norm(wanted[name])
    rotation = found["extrinsics"][..., :3]
    assert np.allclose(rotation @ np.swapaxes(rotation, -1, -2), np.eye(3), atol=1e-5)
    # RANSAC chooses between samples: what rounds differently may be fitted to other inliers.
    assert np.linalg.norm(found["extrinsics"] - wanted["extrinsics"]) <= 1e-3 * np.linalg.norm(wanted["extrinsics"])
    decoders = upstream_forward(build(model), inputs, ["extrinsics"])["extrinsics"].numpy()
    assert not np.allclose(decoders, found["extrinsics"], atol=1e-3)


def test_upstream_and_the_static_program_of_one_pytorch_artifact_agree(made: Make) -> None:
    model, artifact = made("tiny-nested", "pytorch", views=1)
    inputs = image(1)
    upstream, eager = (run(artifact, inputs, "pytorch", mode) for mode in ("upstream", "eager"))
    assert_near(eager, upstream)
    assert_near(upstream, expected(model, artifact, inputs))
    # The artifact knows its network without the file it was made from, and is a checkpoint itself.
    config = json.loads((artifact.path / "config.json").read_text())
    assert config["config"] == artifact.manifest.model_config
    again = prepare(str(artifact.path), format="onnx", precision="fp32", height=HEIGHT, width=WIDTH)
    assert not again.weights.synthetic and again.weights.path == str(artifact.path / "model.safetensors")


def test_the_manifest_keeps_steps_and_configuration(made: Make) -> None:
    _, artifact = made("tiny-mono", views=2)
    read = load_artifact(artifact.path).manifest
    assert read.host_steps == artifact.manifest.host_steps == (host.SKY_FILL,)
    assert read.model == "tiny-mono" and read.model_config == artifact.manifest.model_config is not None
    assert str(artifact.path.parent) not in json.dumps(read.to_json())
    old = {k: v for k, v in read.to_json().items() if k not in ("host_steps", "model_config")}
    assert Manifest.from_json(old).host_steps == ()


def test_another_configuration_is_another_artifact(made: Make, tmp_path: Path) -> None:
    from depthport.exporters.api import describe
    from depthport.exporters.registry import get_exporter

    model, artifact = made("tiny-mono", views=2)
    other = tmp_path / "tiny-mono.yaml"
    other.write_text(Path(model).read_text().replace("features: 32", "features: 40"))
    requests = [
        prepare(str(path), format="onnx", precision="fp32", views=2, height=HEIGHT, width=WIDTH, weights="synthetic:0")
        for path in (model, other)
    ]
    keys = [describe(request, get_exporter("onnx")).key for request in requests]
    assert keys[0] == artifact.manifest.key != keys[1]


@pytest.mark.parametrize("model", ["da3-giant", "da3mono-large", "da3metric-large", "da3nested-giant-large"])
def test_formats_take_every_model_or_say_why_not(model: str) -> None:
    from depthport.exporters.registry import get_exporter

    def options(format: str, **changes: Any) -> dict[str, Any]:
        shape = Shape(1, 2, HEIGHT, WIDTH)
        request = prepare(model, format=format, precision="fp16", weights="synthetic:0", **asdict(shape), **changes)
        return get_exporter(format).options(request)

    for format in ("pytorch", "onnx", "coreml", "litert", "executorch"):
        assert "target" in options(format)
    with pytest.raises(UnsupportedError, match=f"target 'cuda' has no {model}"):
        options("pytorch", target="cuda")


@pytest.mark.parametrize("model", ["da3mono-large", "da3nested-giant-large"])
@pytest.mark.parametrize(
    ("asked", "message"), [({"dynamic": ["views"]}, "no open dimensions"), ({"pose_input": True}, "no poses")]
)
def test_what_only_any_view_models_have_is_refused(model: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, UnsupportedError), match=message):
        prepare(model, format="onnx", precision="fp32", views=2, height=28, width=28, weights="synthetic:0", **asked)


def test_weights_of_another_structure_are_refused(made: Make) -> None:
    _, artifact = made("tiny-nested", "pytorch", views=1)
    model, _ = made("tiny-mono", views=2)
    ref = resolve_weights(str(artifact.path / "model.safetensors"), get_model(model))
    with pytest.raises(WeightsError, match=r"does not fit tiny-mono: .* is missing"):
        load_state_dict(ref, get_model(model))
