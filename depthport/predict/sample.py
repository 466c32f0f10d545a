"""`depthport sample`: an example of examples/, filled in from an artifact's manifest, beside a copy of its file.

An example is complete. What depends on the artifact lies between two marks in one of its files, and is written
here, for `examples/` too (a test compares).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from depthport.exporters.core.artifact import Artifact, Manifest, TensorSpec
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.files.atomic import storage_errors
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
from depthport.exporters.registry import installed_exporter

EXAMPLES = Path(__file__).parents[1] / "examples"
FORMAT = "onnx"
_MARKS = re.compile(r"(?P<begin>^(#|//) depthport:begin\n).*?(?P<end>^(#|//) depthport:end$)", re.DOTALL | re.MULTILINE)
_TRITON = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8", "int64": "TYPE_INT64"}


@dataclass(frozen=True)
class Sample:
    """One example: where it is filled in, where its model goes, and what it asks of an artifact."""

    folder: str
    filled: str
    """The file with the marks."""
    model: str
    """Path at which the example looks for the model."""
    write: Callable[[Manifest], str]
    run: str
    """Command that runs it, in one line."""
    uint8: bool = False
    """Only for graphs that take pixels."""


def write_sample(artifact: Artifact, kind: str, out: Path) -> list[Path]:
    """Write an example for an artifact into a new folder.

    Returns:
        What was written, the model last.

    Raises:
        UsageError: `out` holds something already.
        UnsupportedError: there is no such example for this artifact.
        StorageError: it can't be written.
    """
    sample, made = SAMPLES[kind], artifact.manifest
    check(sample, made)
    exporter = installed_exporter(made.format)
    assert exporter is not None
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise UsageError(f"{out} is not an empty folder: name another with --out")
    try:
        with storage_errors(out):
            shutil.copytree(EXAMPLES / sample.folder, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            file = out / sample.filled
            file.write_text(fill(file.read_text(encoding="utf-8"), sample.write(made)), encoding="utf-8")
        exporter.copy_to(artifact, out / sample.model)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # nothing half-written; the folder was empty
        raise
    written = sorted(path for path in out.rglob("*") if path.is_file() and path != out / sample.model)
    return [*written, out / sample.model]


def check(sample: Sample, made: Manifest) -> None:
    """Refuse what an example can't feed, with what to export instead."""
    image = next(spec for spec in made.inputs if spec.name == "image")
    if made.format != FORMAT:
        raise UnsupportedError(
            f"samples run ONNX files, not {made.format}: depthport export {made.model} --format {FORMAT}"
        )
    if len(made.inputs) > 1:
        raise UnsupportedError("samples feed photographs, and this artifact takes cameras too: export without --pose-input")
    if made.dynamic or made.shape.batch != 1:
        raise UnsupportedError("samples feed one scene of a fixed shape: export without --dynamic and --batch")
    if sample.uint8 and image.dtype != "uint8":
        raise UnsupportedError("this sample has no preprocessing: export with --source-size HxW, the photographs' own size")


def fill(text: str, lines: str) -> str:
    """An example's file with other lines between its marks."""
    return _MARKS.sub(lambda found: f"{found['begin']}{lines}\n{found['end']}", text)


def _python(made: Manifest) -> str:
    image, mean, std = _image(made)
    lines = [
        'MODEL = "model.onnx"',
        f"VIEWS, HEIGHT, WIDTH = {', '.join(map(str, _sizes(image)))}",
        f"UINT8 = {image.dtype == 'uint8'}",
        f"MEAN, STD = ({', '.join(mean)}), ({', '.join(std)})",
    ]
    return "\n".join([*(f"# {line}" for line in _host(made)), *lines])


def _javascript(made: Manifest) -> str:
    image, mean, std = _image(made)
    views, height, width = _sizes(image)
    lines = [
        'export const MODEL = "model.onnx";',
        f"export const VIEWS = {views}, HEIGHT = {height}, WIDTH = {width};",
        f"export const UINT8 = {'true' if image.dtype == 'uint8' else 'false'};",
        f"export const MEAN = [{', '.join(mean)}], STD = [{', '.join(std)}];",
    ]
    return "\n".join([*(f"// {line}" for line in _host(made)), *lines])


def _cpp(made: Manifest) -> str:
    views, height, width = _sizes(_image(made)[0])
    sizes = f"constexpr std::size_t VIEWS = {views}, HEIGHT = {height}, WIDTH = {width};"
    return "\n".join([*(f"// {line}" for line in _host(made)), sizes])


def _triton(made: Manifest) -> str:
    def tensor(side: str, spec: TensorSpec) -> str:
        dims = ", ".join(map(str, spec.shape))
        return f'{side} {{ name: "{spec.native_name}" data_type: {_TRITON[spec.dtype]} dims: [ {dims} ] }}'

    tensors = [tensor("input", spec) for spec in made.inputs] + [tensor("output", spec) for spec in made.outputs]
    return "\n".join([*(f"# {line}" for line in _host(made)), 'name: "da3"', *tensors])


def _image(made: Manifest) -> tuple[TensorSpec, list[str], list[str]]:
    """The image input, and the constants of its normalisation."""
    image = next(spec for spec in made.inputs if spec.name == "image")
    mean, std = made.preprocessing.get("mean", IMAGENET_MEAN), made.preprocessing.get("std", IMAGENET_STD)
    return image, [f"{value:g}" for value in mean], [f"{value:g}" for value in std]


def _sizes(image: TensorSpec) -> tuple[int | str, int | str, int | str]:
    """Views, height and width of an image input."""
    shape = image.shape
    return (shape[1], shape[2], shape[3]) if image.dtype == "uint8" else (shape[1], shape[3], shape[4])


def _host(made: Manifest) -> Iterable[str]:
    """Return the lines on steps that no graph has."""
    return (f"Left to the host, and not done here: {step.name} ({step.description})." for step in made.host_steps)


SAMPLES = {
    "python": Sample("python", "model.py", "model.onnx", _python, "python with_onnxruntime.py PHOTO..."),
    "cpp": Sample("cpp", "model.h", "model.onnx", _cpp, "see CMakeLists.txt", uint8=True),
    "browser": Sample("browser", "model.js", "model.onnx", _javascript, "npm install && python -m http.server"),
    "triton": Sample("triton", "da3/config.pbtxt", "da3/1/model.onnx", _triton, "tritonserver --model-repository ."),
    "ros2": Sample(
        "ros2", "da3_depth/da3_depth/model.py", "da3_depth/da3_depth/model.onnx", _python, "colcon build in a workspace"
    ),
}
