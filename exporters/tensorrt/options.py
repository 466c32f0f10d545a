"""Options of the formats `tensorrt` and `tensorrt-rtx`, checked, with their defaults: :class:`AskedOptions`.

`--target` names GPUs: `sm86,sm89` (TensorRT for RTX builds for absent GPUs); with full TensorRT the GPU at
hand, or `ampere+` (any GPU since Ampere) or `same-cc` (any GPU of the same compute capability).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from depthport.exporters.core.declared import fault
from depthport.exporters.core.errors import ArtifactError, UnsupportedError, UsageError
from depthport.exporters.core.options import Above0, Options, read_options
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.tensorrt.platform import EngineGpu, Package, gpu_here

COMPATIBILITY = ("ampere+", "same-cc")
Method = Literal["max", "percentile"]
TURING = "sm75"
_PATCH = 14


class AskedOptions(Options, frozen=True):
    """Options of the formats `tensorrt` and `tensorrt-rtx`."""

    workspace_mb: Annotated[int, Meta(ge=1, le=1 << 20)] | None = None
    """Most scratch memory a layer may take, MiB; by default TensorRT's own limit, all of the GPU."""
    optimization_level: Annotated[int, Meta(ge=0, le=5)] = 3
    """Effort of the builder's search."""
    refit: bool = False
    """Weights can be exchanged later."""
    strip_weights: bool = False
    """The engine holds no weights; they are put in from the ONNX artifact when it is loaded."""
    timing_cache: bool | str | None = None
    """`tensorrt` only, where it is the default: measured tactics are kept by GPU and version, in a folder that may be
    named."""
    inspector: bool = True
    """Save the engine inspector's layers beside the engine, where there is a GPU."""
    views: str | None = None
    """MIN:MAX or MIN:OPT:MAX: range of a dimension that `--dynamic` leaves open."""
    batch: str | None = None
    """The same for `--dynamic batch`."""
    size: str | None = None
    """HxW:HxW or HxW:HxW:HxW: the same for `--dynamic size`."""
    calibration: str | None = None
    """int8 and fp8: a folder or a file with photographs to calibrate with."""
    calibration_method: Method | None = None
    """fp8: range of an activation; int8: round every product by it, budget or not."""
    max_depth_error: Above0 | None = None
    """int8: budget of depth, relative L2."""
    max_rotation_deg: Above0 | None = None
    """int8: budget of the cameras' rotation, degrees."""

    @property
    def budget(self) -> dict[str, float]:
        """The parts of it that were asked for, by name."""
        asked = {"max_depth_error": self.max_depth_error, "max_rotation_deg": self.max_rotation_deg}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Range:
    """Sizes of one open dimension of the input."""

    min: int
    opt: int
    max: int


@dataclass(frozen=True)
class TensorRTOptions:
    """Options of a build, besides the graph."""

    target: str
    capabilities: tuple[str, ...]
    """GPUs the engine is for (`sm89`), at least one; sorted."""
    compatibility: str
    """`none`, or what full TensorRT's hardware compatibility level is called in `--target`."""
    workspace_mb: int | None
    optimization_level: int
    refit: bool
    strip_weights: bool
    timing_cache: bool | str
    inspector: bool
    profile: Mapping[str, Range]
    """Ranges by the name of the dimension in the ONNX file: `batch`, `views`, `height`, `width`."""
    calibration: str | None
    calibration_method: Method | None
    """None: what suits the kind."""

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "capabilities": list(self.capabilities)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> TensorRTOptions:
        """Options as a manifest holds them, among others.

        Raises:
            ArtifactError: another version wrote them.
        """
        try:
            return msgspec.convert(data, cls)
        except msgspec.ValidationError as error:
            raise ArtifactError(
                f"the engine's options are from another version ({fault(error)}): export it again"
            ) from error


def asked_options(request: ExportRequest) -> AskedOptions:
    """Return the options that were asked for.

    Raises:
        UsageError: an unknown option, or a value that it does not take.
    """
    return read_options(AskedOptions, request.options, f"format {request.format!r}")


def parse_options(request: ExportRequest, package: Package) -> TensorRTOptions:
    """The request's options.

    Raises:
        UsageError: an unknown option or target, or a value it does not take.
        UnsupportedError: a GPU the package can't build for.
    """
    asked = asked_options(request)
    target, capabilities, compatibility = _target(request.target, package)
    if asked.strip_weights and request.policy.quantization:
        raise UnsupportedError(
            "strip_weights does not work with a quantized precision: its weights exist in the engine only"
        )
    if asked.strip_weights and gpu_here() is None:
        raise UnsupportedError(
            f"strip_weights needs an NVIDIA GPU and its driver to build ({package.name} aborts without): "
            "build on a machine with one, or leave the weights in"
        )
    if (asked.calibration or asked.calibration_method) and not request.policy.quantization:
        raise UsageError(f"precision {request.policy.name!r} needs no calibration: use it with int8 or fp8")
    if asked.budget and (request.policy.quantization != "int8" or asked.calibration_method or request.dynamic):
        raise UsageError("an error budget needs int8 with one shape and no calibration_method")
    return TensorRTOptions(
        target, capabilities, compatibility, workspace_mb=asked.workspace_mb, optimization_level=asked.optimization_level,
        refit=asked.refit, strip_weights=asked.strip_weights, timing_cache=_timing_cache(asked, package),
        inspector=asked.inspector, profile=_profile(request, asked), calibration=asked.calibration,
        calibration_method=asked.calibration_method,
    )  # fmt: skip


def options_for(target: str | None, package: Package) -> TensorRTOptions:
    """Default options for a target, for a graph without open dimensions.

    Raises:
        UsageError, UnsupportedError: as :func:`parse_options` of the target.
    """
    normal, capabilities, compatibility = _target(target, package)
    return TensorRTOptions(
        normal, capabilities, compatibility, workspace_mb=None, optimization_level=3, refit=False, strip_weights=False,
        timing_cache=not package.builds_without_gpu, inspector=False, profile={}, calibration=None, calibration_method=None,
    )  # fmt: skip


def _target(text: str | None, package: Package) -> tuple[str, tuple[str, ...], str]:
    """The target in its normal form, the GPUs it stands for, and the compatibility level."""
    gpu = gpu_here()
    words = [word.strip().lower() for word in (text or "").split(",") if word.strip()]
    if text is not None and not words:
        raise UsageError(f"target {text!r} names no GPU: give compute capabilities, for example sm86,sm89")
    if words and words[0] in COMPATIBILITY:
        if len(words) > 1 or package.builds_without_gpu:
            raise UsageError(f"target {text!r}: {package.name} takes compute capabilities, for example sm86,sm89")
        return words[0], (_need_gpu(gpu, package).capability,), words[0]
    if not words and package.builds_without_gpu and (gpu is None or gpu.capability not in package.capabilities):
        words = [name for name in package.capabilities if name in ("sm86", "sm89", "sm120")]
    if not words:
        words = [_need_gpu(gpu, package).capability]
    for word in words:
        if not re.fullmatch(r"sm\d{2,3}", word):
            raise UsageError(f"target {text!r} names no GPU: give compute capabilities, for example sm86,sm89")
        if word == TURING and package.builds_without_gpu:
            raise UnsupportedError(
                f"{package.name} has no fp32 matrix products on Turing (sm75), and every precision needs some: "
                "use ONNX Runtime's CUDA provider or PyTorch there"
            )
        if package.capabilities and word not in package.capabilities:
            raise UnsupportedError(
                f"{package.name} does not build for {word}: it has {', '.join(package.capabilities)}; "
                "for Jetson and data-centre GPUs use format tensorrt"
            )
        if not package.builds_without_gpu and word != _need_gpu(gpu, package).capability:
            raise UnsupportedError(
                f"{package.name} builds only for this machine's GPU, which is {_need_gpu(gpu, package).capability}, "
                f"not {word}: build on the target machine, or use format tensorrt-rtx"
            )
    names = tuple(sorted(set(words), key=lambda name: int(name[2:])))
    return ",".join(names), names, "none"


def _need_gpu(gpu: EngineGpu | None, package: Package) -> EngineGpu:
    if gpu is None:
        raise UnsupportedError(
            f"{package.name} builds only for the GPU of the machine, and this one has no NVIDIA GPU or driver: "
            "build on the target machine, or use format tensorrt-rtx"
        )
    return gpu


def _timing_cache(asked: AskedOptions, package: Package) -> bool | str:
    if not package.builds_without_gpu:
        return True if asked.timing_cache is None else asked.timing_cache
    # TensorRT for RTX measures nothing when it builds; with a cache it would still ask for a GPU.
    if asked.timing_cache:
        raise UnsupportedError(f"{package.name} has no timing cache: it measures nothing when it builds")
    return False


def _profile(request: ExportRequest, asked: AskedOptions) -> dict[str, Range]:
    shape = request.shape
    profile: dict[str, Range] = {}
    for name, given in (("views", asked.views), ("size", asked.size), ("batch", asked.batch)):
        if name not in request.dynamic:
            if given is not None:
                raise UsageError(f"option {name} is the range of an open dimension: add --dynamic {name}")
            continue
        if given is None:
            raise UsageError(f"an engine needs the range of every open dimension: add --option {name}=MIN:MAX")
        if name == "size":
            sizes = [_size(part) for part in _parts(name, given)]
            for axis, (dimension, opt) in enumerate((("height", shape.height), ("width", shape.width))):
                profile[dimension] = _range(name, [size[axis] for size in sizes], opt)
        else:
            opt = shape.views if name == "views" else shape.batch
            profile[name] = _range(name, [_count(name, part) for part in _parts(name, given)], opt)
    return profile


def _parts(name: str, value: str) -> list[str]:
    parts = value.split(":")
    if len(parts) not in (2, 3):
        raise UsageError(f"option {name} is MIN:MAX or MIN:OPT:MAX, not {value!r}")
    return parts


def _range(name: str, sizes: list[int], opt: int) -> Range:
    low, best, high = (sizes[0], opt, sizes[1]) if len(sizes) == 2 else sizes
    if not 1 <= low <= best <= high:
        raise UsageError(f"option {name} must rise: {low}:{best}:{high} does not")
    return Range(low, best, high)


def _count(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"option {name} has {text!r} instead of a whole number")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2:
        raise UsageError(f"option size has {text!r} instead of HxW, for example 252x336:504x672")
    height, width = (_count("size", part) for part in parts)
    if height % _PATCH or width % _PATCH:
        raise UsageError(f"option size: {text} is not a multiple of {_PATCH}")
    return height, width
