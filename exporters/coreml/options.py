"""Options of format `coreml`: what may be asked for, and which systems can load the result. Imports no framework."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.shapes import validate_shape

TARGETS = {"iOS16": 7, "iOS17": 8, "iOS18": 9, "iOS26": 10}
"""Oldest system the package is for, and its specification version. macOS 13, 14, 15 and 26 are the same ones."""
MAC_NAMES = {"macOS13": "iOS16", "macOS14": "iOS17", "macOS15": "iOS18", "macOS26": "iOS26"}
DEFAULT_TARGET = "iOS17"
Island = Literal["reference", "camera", "tail", "residual", "norm", "stem", "head"]
ISLANDS: tuple[Island, ...] = get_args(Island)
"""Parts that can stay fp32 in an fp16 package; :mod:`depthport.exporters.coreml.islands` says what each holds."""

_NEEDS = {"compress int4": "iOS18", "several functions": "iOS18"}
_SHAPE = re.compile(r"(?:(\d+)x)?(\d+)x(\d+)x(\d+)")


class AskedOptions(Options, frozen=True):
    """Options of format `coreml`."""

    route: Literal["export", "trace"] = "export"
    """`export`: torch.export; `trace`: torch.jit.trace. Which operations come out differs in places."""
    compress: Literal["none", "int8", "int4", "palette8", "palette6", "palette4"] = "none"
    """Weights only; activations keep the policy's dtype."""
    islands: tuple[Literal[Island, "none"], ...] | None = None
    """Parts kept in fp32 where the policy is fp16; by default those that the policy keeps in fp32."""
    ane: bool = False
    """Exact rewrites for the Neural Engine: split patch convolution, fp16 in and out, pose matrices on the host."""
    functions: tuple[str, ...] = ()
    """Further shapes, NxHxW or BxNxHxW, each a function of the same package with the same weights."""
    verify: bool = True
    """Run the saved package in the interpreter and compare it with the network before it counts as exported."""


class CoreMLOptions(AskedOptions, frozen=True):
    """Every choice, with defaults filled in; `functions` as BxNxHxW."""

    islands: tuple[Island, ...] = ()
    target: str = DEFAULT_TARGET
    """A key of `TARGETS`."""

    @property
    def specification(self) -> int:
        return TARGETS[self.target]

    def to_json(self) -> dict[str, object]:
        return {**msgspec.structs.asdict(self), "islands": list(self.islands), "functions": list(self.functions)}


def parse_options(request: ExportRequest) -> CoreMLOptions:
    """The request's options, checked against each other and against the target.

    Raises:
        UsageError: an unknown option or value.
        UnsupportedError: the format, the target or the model can't do what is asked.
    """
    _refuse(request)
    asked = read_options(AskedOptions, request.options, "format 'coreml'")
    if asked.ane and request.policy.name != "fp16":
        raise UnsupportedError(
            f"the Neural Engine computes in fp16 only: use precision fp16 with option ane, not {request.policy.name}"
        )
    functions = _functions(asked.functions, request.shape)
    islands = _islands(asked, functions, request)
    return CoreMLOptions(
        route=asked.route, compress=asked.compress, islands=islands, ane=asked.ane, functions=functions,
        verify=asked.verify, target=_target(request.target, asked),
    )  # fmt: skip


def function_name(shape: Shape) -> str:
    """Name of the function for a further shape: `b1_n2_252x252`."""
    return f"b{shape.batch}_n{shape.views}_{shape.height}x{shape.width}"


def parse_shape(text: str) -> Shape:
    """`BxNxHxW` as :class:`CoreMLOptions` keeps it."""
    batch, views, height, width = (int(v) for v in text.split("x"))
    return Shape(batch, views, height, width)


def _refuse(request: ExportRequest) -> None:
    policy = request.policy
    if request.dynamic:
        raise UnsupportedError("format 'coreml' has static shapes: add more with option functions=NxHxW,...")
    if request.pose_input:
        raise UnsupportedError("format 'coreml' takes no poses as input: leave pose input out or use format onnx")
    if request.source_size is not None:
        raise UnsupportedError(
            "format 'coreml' takes images of the network's own size: leave the source size out (Vision and Core Image "
            "resize on the device), or use format onnx"
        )
    if policy.quantization is not None:
        raise UnsupportedError(
            f"Core ML quantizes weights only, not products: use precision fp16 with option compress=int8, not {policy.name}"
        )
    if policy.tf32 or "bfloat16" in (policy.backbone, policy.head):
        raise UnsupportedError(f"Core ML has fp32 and fp16 only: use one of these, not {policy.name}")


def _target(asked: str | None, options: AskedOptions) -> str:
    needs = [("compress int4", options.compress == "int4"), ("several functions", bool(options.functions))]
    needed = next((what for what, is_asked in needs if is_asked), None)
    if asked is None:
        return _NEEDS[needed] if needed else DEFAULT_TARGET
    target = MAC_NAMES.get(asked, asked)
    if target not in TARGETS:
        raise UsageError(f"unknown Core ML target {asked!r}: choose one of {', '.join((*TARGETS, *MAC_NAMES))}")
    if needed and TARGETS[target] < TARGETS[_NEEDS[needed]]:
        raise UnsupportedError(f"{needed} needs {_NEEDS[needed]} (macOS15) or newer, not {asked}: use that target")
    return target


def _islands(asked: AskedOptions, functions: Sequence[str], request: ExportRequest) -> tuple[Island, ...]:
    """The islands asked for; by default what the policy keeps in fp32, none where everything is."""
    from depthport.exporters.da3.static.reference_view import MIN_VIEWS

    policy = request.policy
    if "float16" not in (policy.backbone, policy.head):
        if asked.islands is not None:
            raise UsageError(f"option islands is for precision fp16: {policy.name} has no fp16 to keep out of")
        return ()
    if asked.islands is not None:
        return tuple(island for island in ISLANDS if island in asked.islands)
    shapes = [request.shape, *map(parse_shape, functions)]
    found = {"reference"} if any(shape.views >= MIN_VIEWS for shape in shapes) else set()
    if not asked.ane:
        found |= {"camera", "tail"}
    if policy.head == "float32":
        found.add("head")
    return tuple(island for island in ISLANDS if island in found)


def _functions(given: Sequence[str], main: Shape) -> tuple[str, ...]:
    shapes = [str(_shape(text, main)) for text in given]
    twice = next((shape for shape in shapes if shapes.count(shape) > 1), None)
    if twice is not None:
        raise UsageError(f"function shape {twice} is given twice: give each shape once")
    return tuple(shapes)


def _shape(text: str, main: Shape) -> Shape:
    """`NxHxW` or `BxNxHxW`, other than the request's own."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise UsageError(f"function shape {text!r} is malformed: write NxHxW, for example 2x252x252")
    batch, views, height, width = (int(v) if v else 1 for v in match.groups())
    validate_shape(batch, views, height, width)
    shape = Shape(batch, views, height, width)
    if shape == main:
        raise UsageError(f"function shape {text!r} is already the main shape: give others")
    return shape
