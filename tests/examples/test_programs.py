"""Examples in Python and C++, and a runtime of one's own, run and compared."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from depthport.exporters.core.artifact import Artifact
from depthport.predict.sample import EXAMPLES, write_sample
from tests.examples.comparison import HEIGHT, WIDTH, assert_same, expected
from tests.support.paths import ROOT

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_python(kind: str, artifact: Artifact, photographs: list[Path], tmp_path: Path) -> None:
    pytest.importorskip(kind)
    write_sample(artifact, "python", tmp_path / "sample")
    program = tmp_path / "sample" / f"with_{kind}.py"
    assert "depthport" not in {alias.name for node in ast.walk(ast.parse(program.read_text()))
                               if isinstance(node, ast.Import) for alias in node.names}  # fmt: skip
    done = subprocess.run(
        [sys.executable, program, *photographs], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "prediction.npz") as found:
        assert_same({name: array[0] for name, array in found.items()}, expected(artifact, photographs), 1e-4)
    assert (tmp_path / "coffee-depth.png").is_file()
    refused = subprocess.run([sys.executable, program, photographs[0]], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1 and "1 photographs for 2 views" in refused.stderr


def test_python_scales_as_ours_does(artifact: Artifact, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    paths = [tmp_path / "coffee.png", tmp_path / "rocket.png", tmp_path / "astronaut.png", tmp_path / "camera.png"]
    for path in paths:
        Image.fromarray(getattr(data, path.stem)()).save(path)
    write_sample(artifact, "python", tmp_path / "sample")
    program = "import sys; sys.path.insert(0, 'sample'); from photographs import load; import numpy; "
    program += "numpy.save('image.npy', [load(sys.argv[i:i + 2])[0] for i in (1, 3)])"
    subprocess.run([sys.executable, "-c", program, *paths], cwd=tmp_path, check=True, timeout=120)
    from depthport.exporters.inputs.preprocess import apply_to_rgb, exact_steps, normalise

    views = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    ours = normalise(np.stack([apply_to_rgb(v, exact_steps(v.shape[1::-1], HEIGHT, WIDTH)) for v in views]))
    np.testing.assert_allclose(np.load(tmp_path / "image.npy").reshape(ours.shape), ours, rtol=0, atol=1e-6)


@pytest.mark.skipif(None in map(shutil.which, ("cmake", "g++")), reason="needs cmake and g++")
def test_cpp(pixels: Artifact, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    data = pytest.importorskip("skimage.data")
    write_sample(pixels, "cpp", tmp_path / "sample")
    photographs = []
    for name in ("coffee", "chelsea"):
        photographs.append(tmp_path / f"{name}.ppm")
        Image.fromarray(getattr(data, name)()).resize((147, 105)).save(photographs[-1])
    build = tmp_path / "build"
    commands: tuple[list[str | Path], ...] = (
        ["cmake", "-S", tmp_path / "sample", "-B", build, f"-DOpenVINO_DIR={openvino.utils.get_cmake_path()}"],
        ["cmake", "--build", build],
        [build / "depth", tmp_path / "sample" / "model.onnx", *photographs],
    )
    for command in commands:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = {
        name: np.array(rest, float) for name, *rest in map(str.split, done.stdout.splitlines()) if rest
    }
    found["depth"] = np.stack([_read_pfm(tmp_path / f"depth-{view}.pfm") for view in range(2)])
    wanted = expected(pixels, photographs)
    del wanted["depth_conf"]
    assert_same(found, wanted, 1e-4)
    (tmp_path / "small.ppm").write_bytes(b"P6\n2 2\n255\n" + bytes(12))
    done = subprocess.run([build / "depth", "m", photographs[0]], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "give the model and 2 photographs\n")
    command = [build / "depth", tmp_path / "sample" / "model.onnx", tmp_path / "small.ppm", photographs[0]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "is not a binary PPM of 147x105" in done.stderr


def _read_pfm(path: Path) -> Any:
    header, size, _, rest = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert header == b"Pf"
    return np.frombuffer(rest, "<f4").reshape(height, width)[::-1]


@pytest.mark.skipif(find_spec("onnx") is None, reason="onnx is not installed")
def test_a_runtime_of_ones_own_is_a_package(artifact: Artifact, photographs: list[Path], tmp_path: Path) -> None:
    """Installed as anyone's, it is a row of `doctor`, and gives what ONNX Runtime gives."""
    source = tmp_path / "source"
    shutil.copytree(EXAMPLES / "runtime", source, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*command, "--target", tmp_path / "site", source], capture_output=True, text=True, timeout=300)
    if done.returncode != 0 and "setuptools" in done.stderr:
        pytest.skip(f"no setuptools to build with: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); "
        "from depthport.bench.cli.app import main; sys.argv[0] = 'depthport'; main()"
    )

    def depthport(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", program, *words, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    (row,) = (row for row in depthport("doctor")["runtimes"] if row["runtime"] == "onnx-reference")
    assert row["available"] and row["modes"] == ["evaluate"]
    words = [str(artifact.path), *map(str, photographs), "--runtime", "onnx-reference", "--write", "npz"]
    depthport("predict", *words, "--out", str(tmp_path / "out"))
    with np.load(tmp_path / "out" / "prediction.npz") as found:
        wanted = expected(artifact, photographs)
        assert_same({name: found[name] for name in ("depth", "extrinsics")},
                    {name: wanted[name] for name in ("depth", "extrinsics")}, 1e-4)  # fmt: skip
