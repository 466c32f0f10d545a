"""Options of the formats `tensorrt` and `tensorrt-rtx`, checked, with their defaults.

| option | value | meaning |
|---|---|---|
| `workspace_mb` | MiB | most scratch memory a layer may take; default: TensorRT's own (all of the GPU) |
| `optimization_level` | 0 to 5 | how long the builder searches; default 3 |
| `refit` | true, false | weights can be exchanged later |
| `strip_weights` | true, false | the engine holds no weights; they are put in from the ONNX artifact when it is loaded |
| `timing_cache` | true, false, a folder | `tensorrt` only: measured tactics are kept by GPU and version |
| `inspector` | true, false | save the engine inspector's layers beside the engine, where a GPU is there |
| `views`, `batch` | MIN:MAX or MIN:OPT:MAX | range of a dimension that `--dynamic` leaves open |
| `size` | HxW:HxW or HxW:HxW:HxW | the same for `--dynamic size` |
| `calibration` | a folder or a file | int8 and fp8: photographs to calibrate with |
| `calibration_method` | max, percentile | fp8: range of an activation; int8: round every product by it, budget or not |
| `max_depth_error`, `max_rotation_deg` | numbers | int8: budget of depth (8e-3, relative L2) and rotation (0.4°) |

`--target` names GPUs: `sm86,sm89` (TensorRT for RTX builds for GPUs that are not there); with full TensorRT the GPU at
hand, or `ampere+` (any GPU since Ampere) or `same-cc` (any GPU of the same compute capability).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from depthport.exporters.core.errors import ArtifactError, UnsupportedError, UsageError
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.tensorrt.platform import Package, gpu_here

COMPATIBILITY = ("ampere+", "same-cc")
METHODS = ("max", "percentile")
_SWITCHES = {"refit": False, "strip_weights": False, "inspector": True}
_RANGES = ("views", "size", "batch")
_VALUES = ("workspace_mb", "optimization_level", "timing_cache", "calibration", "calibration_method")
TURING = "sm75"
BUDGETS = ("max_depth_error", "max_rotation_deg")
_PATCH = 14


@dataclass(frozen=True)
class Range:
    """Sizes of one open dimension of the input."""

    min: int
    opt: int
    max: int


@dataclass(frozen=True)
class TensorRTOptions:
    """What a build needs to know besides the graph."""

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
    """By the name of the dimension in the ONNX file: `batch`, `views`, `height`, `width`."""
    calibration: str | None
    calibration_method: str | None
    """None: what suits the kind."""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "capabilities": list(self.capabilities)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TensorRTOptions:
        """Options as a manifest holds them.

        Raises:
            ArtifactError: another version wrote them.
        """
        try:
            profile = {name: Range(**sizes) for name, sizes in data["profile"].items()}
            return cls(**{**data, "capabilities": tuple(data["capabilities"]), "profile": profile})
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"the engine's options are another version's ({error}): export it again") from error


def parse_options(request: ExportRequest, package: Package) -> TensorRTOptions:
    """The request's options.

    Raises:
        UsageError: an unknown option or target, or a value it does not take.
        UnsupportedError: a GPU the package can't build for.
    """
    given = dict(request.options)
    known = {*_SWITCHES, *_RANGES, *_VALUES, *BUDGETS}
    if unknown := sorted(set(given) - known):
        raise UsageError(f"format {package.format!r} has no option {unknown[0]!r}: choose from {', '.join(sorted(known))}")
    target, capabilities, compatibility = _target(request.target, package)
    switches = {name: _switch(given, name, default) for name, default in _SWITCHES.items()}
    if switches["strip_weights"] and request.policy.quantization:
        raise UnsupportedError("strip_weights can't be had with a quantized precision: its weights lie in the engine only")
    if switches["strip_weights"] and gpu_here() is None:
        raise UnsupportedError(
            f"strip_weights needs an NVIDIA GPU and its driver while the engine is built ({package.name} stops without): "
            "build on a machine with one, or leave the weights in"
        )
    method = given.get("calibration_method")
    if method is not None and method not in METHODS:
        raise UsageError(f"option calibration_method is {' or '.join(METHODS)}, not {method!r}")
    calibration = given.get("calibration")
    if (calibration is not None or "calibration_method" in given) and not request.policy.quantization:
        raise UsageError(f"precision {request.policy.name!r} needs no calibration: use it with int8 or fp8")
    if any(name in given for name in BUDGETS) and (request.policy.quantization != "int8" or method or request.dynamic):
        raise UsageError("a budget of errors is kept by int8 of one shape, without a calibration_method")
    return TensorRTOptions(
        target, capabilities, compatibility,
        workspace_mb=_integer(given, "workspace_mb", None, 1, 1 << 20),
        optimization_level=_integer(given, "optimization_level", 3, 0, 5) or 0,
        timing_cache=_timing_cache(given, package),
        profile=_profile(request, given),
        calibration=None if calibration is None else str(calibration), calibration_method=method, **switches,
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
                f"{package.name} computes no fp32 matrix products on Turing (sm75), and every precision has some: "
                "there, take ONNX Runtime's CUDA provider or PyTorch"
            )
        if package.capabilities and word not in package.capabilities:
            raise UnsupportedError(
                f"{package.name} does not build for {word}: it has {', '.join(package.capabilities)}; "
                "Jetson and data-centre GPUs take the format tensorrt"
            )
        if not package.builds_without_gpu and word != _need_gpu(gpu, package).capability:
            raise UnsupportedError(
                f"{package.name} builds on the GPU it builds for: this one is {_need_gpu(gpu, package).capability}, "
                f"not {word}; build there, or use the format tensorrt-rtx"
            )
    names = tuple(sorted(set(words), key=lambda name: int(name[2:])))
    return ",".join(names), names, "none"


def _need_gpu(gpu: Any, package: Package) -> Any:
    if gpu is None:
        raise UnsupportedError(
            f"{package.name} builds on the GPU it builds for, and no NVIDIA GPU or driver is here: "
            "build on the machine it shall run on, or use the format tensorrt-rtx"
        )
    return gpu


def _switch(given: Mapping[str, Any], name: str, default: bool) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise UsageError(f"option {name} is true or false, not {value!r}")
    return value


def _integer(given: Mapping[str, Any], name: str, default: int | None, low: int, high: int) -> int | None:
    value = given.get(name, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"option {name} is a number from {low} to {high}, not {value!r}")
    return value


def _timing_cache(given: Mapping[str, Any], package: Package) -> bool | str:
    if package.builds_without_gpu:
        # TensorRT for RTX measures nothing when it builds; with a cache it would ask for a GPU all the same.
        if given.get("timing_cache"):
            raise UnsupportedError(f"{package.name} has no timing cache: it measures nothing when it builds")
        return False
    value = given.get("timing_cache", True)
    if not isinstance(value, (bool, str)):
        raise UsageError(f"option timing_cache is true, false or a folder, not {value!r}")
    return value


def _profile(request: ExportRequest, given: Mapping[str, Any]) -> dict[str, Range]:
    shape = request.shape
    profile: dict[str, Range] = {}
    for name in _RANGES:
        if name not in request.dynamic:
            if name in given:
                raise UsageError(f"option {name} is the range of an open dimension: add --dynamic {name}")
            continue
        if name not in given:
            raise UsageError(f"an engine needs the range of every open dimension: add --option {name}=MIN:MAX")
        if name == "size":
            sizes = [_size(part) for part in _parts(name, given[name])]
            for axis, (dimension, opt) in enumerate((("height", shape.height), ("width", shape.width))):
                profile[dimension] = _range(name, [size[axis] for size in sizes], opt)
        else:
            opt = shape.views if name == "views" else shape.batch
            profile[name] = _range(name, [_count(name, part) for part in _parts(name, given[name])], opt)
    return profile


def _parts(name: str, value: Any) -> list[str]:
    parts = str(value).split(":")
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
        raise UsageError(f"option {name} has {text!r} where a number belongs")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2:
        raise UsageError(f"option size has {text!r} where HxW belongs, for example 252x336:504x672")
    height, width = (_count("size", part) for part in parts)
    if height % _PATCH or width % _PATCH:
        raise UsageError(f"option size: {text} is no multiple of {_PATCH}")
    return height, width
