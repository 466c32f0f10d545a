"""Upstream's own processors, and what its `DepthAnything3.inference` does with them and the network.

Its API module can't be imported without pycolmap, moviepy, open3d and more, none of which inference uses. So the steps of
`inference` (`depth_anything_3/api.py`, version 0.1.1) are here one by one, as they are there for photographs without
cameras and without an export; `InputProcessor`, `OutputProcessor` and the network are upstream's code.

The input processor's module imports three classes of torchvision. Where that is not installed they are these, operation by
operation as torchvision has them (`to_tensor`: permute, float32, divide by 255; `normalize`: subtract, divide;
`center_crop`).
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from depthport.exporters.core import install
from depthport.exporters.core.errors import InputError, UnavailableError
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD

STAGES = ("decode_resize", "copy", "network", "back")
"""Parts of a call, in order: upstream decodes and resizes in one step; `back` also makes pictures of what went in."""


class _ToTensor:
    def __call__(self, image: Any) -> Tensor:
        pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
        return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


class _Normalize:
    def __init__(self, mean: list[float], std: list[float]) -> None:
        self.mean = torch.as_tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        self.std = torch.as_tensor(std, dtype=torch.float32).view(-1, 1, 1)

    def __call__(self, image: Tensor) -> Tensor:
        return image.clone().sub_(self.mean).div_(self.std)


class _CenterCrop:
    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, image: Tensor) -> Tensor:
        height, width = self.size
        top, left = round((image.shape[-2] - height) / 2.0), round((image.shape[-1] - width) / 2.0)
        return image[..., top : top + height, left : left + width]


def input_processor() -> Any:
    """Upstream's `InputProcessor`.

    Raises:
        UnavailableError: depth-anything-3 is not installed, or something that its module imports.
    """
    try:
        with nullcontext() if find_spec("torchvision") else _torchvision_stands_in():
            from depth_anything_3.utils.io.input_processor import InputProcessor
    except ImportError as error:
        raise UnavailableError(f"upstream's processors can't be imported ({error}): {install.DA3_PACKAGE}") from None
    return InputProcessor()


@contextmanager
def _torchvision_stands_in() -> Iterator[None]:
    """Context in which `import torchvision.transforms` finds the classes here; other imports stay."""
    package, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    vars(transforms).update(ToTensor=_ToTensor, Normalize=_Normalize, CenterCrop=_CenterCrop)
    vars(package).update(transforms=transforms)
    stand_ins = {"torchvision": package, "torchvision.transforms": transforms}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def output_processor() -> Any:
    """Upstream's `OutputProcessor`.

    Raises:
        UnavailableError: depth-anything-3 is not installed.
    """
    try:
        from depth_anything_3.utils.io.output_processor import OutputProcessor
    except ImportError as error:
        raise UnavailableError(f"upstream's processors can't be imported ({error}): {install.DA3_PACKAGE}") from None
    return OutputProcessor()


class UpstreamInference:
    """`DepthAnything3.inference` of a scene's encoded photographs."""

    def __init__(self, network: nn.Module, device: torch.device, autocast: torch.dtype | None) -> None:
        """Make upstream's processors.

        Args:
            network: upstream's own, on `device`.
            device: where it runs.
            autocast: upstream's official one there (`bfloat16` on recent GPUs); None: fp32.
        """
        self._network, self._device, self._autocast = network, device, autocast
        self._before, self._after = input_processor(), output_processor()
        self.stages_ns: dict[str, int] = {}
        """Durations of the last call's parts, by the names of :data:`STAGES`."""

    def __call__(self, photographs: Sequence[bytes], process_res: int, size: tuple[int, int] | None = None) -> Any:
        """Upstream's `Prediction` (depth, conf, extrinsics, intrinsics, processed_images).

        Args:
            photographs: the views of a scene, each a file's bytes.
            process_res: longest side at which the network sees them.
            size: height and width that the caller expects it to see; None: any.

        Raises:
            InputError: upstream makes another size of these photographs.
        """
        began = time.perf_counter_ns()
        # Pillow reads the header here and decodes where upstream does: in its processor's threads.
        opened = [Image.open(io.BytesIO(data)) for data in photographs]
        on_cpu, _, _ = self._before(opened, None, None, process_res, "upper_bound_resize")
        if size is not None and tuple(on_cpu.shape[-2:]) != size:
            made, asked = ("x".join(map(str, shape)) for shape in (on_cpu.shape[-2:], size))
            raise InputError(f"upstream makes {made} of these photographs, not {asked}: measure at {made}")
        read = time.perf_counter_ns()
        image = on_cpu.to(self._device, non_blocking=True)[None].float()
        self._synchronize()
        copied = time.perf_counter_ns()
        with torch.inference_mode(), self._official():
            raw = self._network(image, None, None, [], False, False, "saddle_balanced")
        self._synchronize()
        computed = time.perf_counter_ns()
        prediction = self._after(raw)
        prediction.processed_images = _pictures(on_cpu)
        done = time.perf_counter_ns()
        marks = (began, read, copied, computed, done)
        self.stages_ns = {name: b - a for name, a, b in zip(STAGES, marks, marks[1:], strict=False)}
        return prediction

    def _official(self) -> Any:
        return nullcontext() if self._autocast is None else torch.autocast(self._device.type, self._autocast)

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _pictures(image: Tensor) -> NDArray[np.uint8]:
    """`_add_processed_images`: what went in, as pictures (N, H, W, 3)."""
    pixels = image.permute(0, 2, 3, 1).cpu().numpy() * np.array(IMAGENET_STD) + np.array(IMAGENET_MEAN)
    pictures: NDArray[np.uint8] = (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return pictures
