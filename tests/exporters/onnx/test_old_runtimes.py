"""Files for older runtimes: what opset 18 changed is put in 17's terms, and an ONNX Runtime of 2023 runs both."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.exporters.core.errors import ExportError
from depthport.exporters.core.store import ArtifactStore
from tests.conftest import export_small
from tests.runtimes.test_runtime_parity import upstream_of

onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
pytest.importorskip("onnxscript")
VIEWS = 3
OLD_RUNTIME = ("onnxruntime==1.16.3", "numpy<2")
RUN = """
import sys
import numpy as np, onnxruntime
model, images, outputs = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
found = session.run(None, {session.get_inputs()[0].name: np.load(images)})
np.savez(outputs, **{value.name: array for value, array in zip(session.get_outputs(), found)})
print(onnxruntime.__version__)
"""


def lowered(text: str) -> Any:
    from depthport.exporters.onnx.lowering import lower

    return ir.to_proto(lower(ir.from_proto(onnx.parser.parse_model(text))))


CHANGED = {
    "a split into equal parts": "(float[2,6] x) => (float[2,3] a, float[2,3] b)"
    " { a, b = Split <axis=1, num_outputs=2> (x) }",
    "a split whose last part is shorter": "(float[7,2] x) => (float[3,2] a, float[3,2] b, float[1,2] c)"
    " { a, b, c = Split <num_outputs=3> (x) }",
    "a split by sizes": "(float[7,2] x) => (float[3,2] a, float[4,2] b) <int64[2] n = {3, 4}> { a, b = Split (x, n) }",
    "a maximum over axes": "(float[2,3] x) => (float[2] a) <int64[1] d = {-1}> { a = ReduceMax <keepdims=0> (x, d) }",
    "a mean over everything": "(float[2,3] x) => (float a) { a = ReduceMean <keepdims=0> (x) }",
    "a norm over axes": "(float[2,3,4] x) => (float[1,3,1] a) <int64[2] d = {0, 2}> { a = ReduceL2 (x, d) }",
    "a sum, with axes as an input before": "(float[2,3] x) => (float[2,1] a) <int64[1] d = {1}> { a = ReduceSum (x, d) }",
    "a resize": "(float[1,1,2,2] x) => (float[1,1,4,4] a) <int64[4] n = {1,1,4,4}>"
    ' { a = Resize <mode="linear", coordinate_transformation_mode="align_corners", antialias=0,'
    ' keep_aspect_ratio_policy="stretch"> (x, , , n) }',
    "a pad": "(float[2,3] x) => (float[2,5] a) <int64[4] n = {0,1,0,1}> { a = Pad (x, n) }",
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_18_changed_is_said_as_17_says_it(name: str) -> None:
    from onnx.reference import ReferenceEvaluator

    text = f'<ir_version: 8, opset_import: ["" : 18]> g {CHANGED[name]}'
    model, old = onnx.parser.parse_model(text), lowered(text)
    assert [o.version for o in old.opset_import] == [17]
    onnx.checker.check_model(old, full_check=True)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for found, right in zip(*(ReferenceEvaluator(m).run(None, {"x": x}) for m in (old, model)), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6)


@pytest.mark.parametrize(
    ("operator", "graph"),
    [
        ("ReduceMax", "(float[2,3] x, int64[1] d) => (float[2,1] a) { a = ReduceMax (x, d) }"),
        ("ReduceMax", "(float[2,3] x) => (float[2,3] a) { a = ReduceMax <noop_with_empty_axes=1> (x) }"),
        ("Split", "(float[n,3] x) => (float[p,3] a, float[q,3] b) { a, b = Split <num_outputs=2> (x) }"),
        ("Mish", "(float[2,3] x) => (float[2,3] a) { a = Mish (x) }"),
        ("Resize", "(float[1,1,4,4] x, int64[4] n) => (float[1,1,2,2] a) { a = Resize <antialias=1> (x, , , n) }"),
    ],
)  # fmt: skip
def test_what_17_can_not_say_is_refused_by_name(operator: str, graph: str) -> None:
    with pytest.raises(ExportError, match=f"opset 17 has no {operator} .* opset=18"):
        lowered(f'<ir_version: 8, opset_import: ["" : 18]> g {graph}')


@pytest.fixture(scope="module")
def files(store: ArtifactStore) -> dict[int, Path]:
    """The portable file by its operator set."""
    made = {
        opset: export_small(store, "onnx", views=VIEWS, **({} if opset == 18 else {"options": {"opset": opset}})).artifact
        for opset in (17, 18)
    }
    assert {o: (a.manifest.extra["ir_version"], a.manifest.extra["oldest_onnxruntime"]) for o, a in made.items()} == {
        17: (8, "1.12"), 18: (8, "1.14"),
    }  # fmt: skip
    return {opset: artifact.file("model.onnx") for opset, artifact in made.items()}


def close(outputs: Path, expected: dict[str, NDArray[Any]]) -> None:
    with np.load(outputs) as found:
        assert sorted(found.files) == sorted(expected)
        for name, right in expected.items():
            error = np.linalg.norm(found[name] - right) / (np.linalg.norm(right) or 1.0)
            assert error <= 1e-5, f"{name}: {error:.1e} relative L2"


def ran(python: Path | str, model: Path, image: NDArray[np.float32], folder: Path) -> str:
    """The version of the ONNX Runtime of that interpreter, which ran the model as upstream's network runs."""
    np.save(folder / "images.npy", image)
    call = [str(python), "-c", RUN, str(model), str(folder / "images.npy"), str(folder / "outputs.npz")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-800:]
    close(folder / "outputs.npz", upstream_of(image))
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((1, VIEWS, 3, 70, 98)).astype(np.float32)


def test_opset_17_computes_the_same(files: dict[int, Path], image: NDArray[np.float32], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    ran(sys.executable, files[17], image, tmp_path)


@pytest.fixture(scope="module")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the ONNX Runtime of November 2023."""
    folder = tmp_path_factory.mktemp("old")
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--only-binary=:all:", *OLD_RUNTIME]
    done = subprocess.run(install, capture_output=True, text=True, timeout=500)
    if done.returncode != 0:
        pytest.skip(f"{OLD_RUNTIME[0]} can't be installed here: {done.stderr.strip().splitlines()[-1][:200]}")
    return python


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="ONNX Runtime 1.16 has wheels up to Python 3.11")
@pytest.mark.skipif(sys.platform == "win32", reason="the interpreter lies elsewhere")
@pytest.mark.parametrize("opset", [17, 18])
def test_an_old_runtime_runs_it(
    opset: int, files: dict[int, Path], old_python: Path, image: NDArray[np.float32], tmp_path: Path
) -> None:
    assert ran(old_python, files[opset], image, tmp_path) == "1.16.3"
