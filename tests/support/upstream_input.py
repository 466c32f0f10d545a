"""Upstream's own InputProcessor.

Its module imports three classes of torchvision, which is no dependency of this project. Here they are in torch, operation
by operation as torchvision has them (`to_tensor`: permute, float32, divide by 255; `normalize`: subtract, divide;
`center_crop`). All else (sizes, interpolation, rounding, cropping, order, intrinsics) is upstream's code.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np


def input_processor() -> Any:
    """One; needs torch and depth-anything-3."""
    import torch

    class ToTensor:
        def __call__(self, image: Any) -> Any:
            pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
            return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)

    class Normalize:
        def __init__(self, mean: list[float], std: list[float]) -> None:
            self.mean = torch.as_tensor(mean, dtype=torch.float32).view(-1, 1, 1)
            self.std = torch.as_tensor(std, dtype=torch.float32).view(-1, 1, 1)

        def __call__(self, image: Any) -> Any:
            return image.clone().sub_(self.mean).div_(self.std)

    class CenterCrop:
        def __init__(self, size: tuple[int, int]) -> None:
            self.size = size

        def __call__(self, image: Any) -> Any:
            height, width = self.size
            top, left = round((image.shape[-2] - height) / 2.0), round((image.shape[-1] - width) / 2.0)
            return image[..., top : top + height, left : left + width]

    package, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    vars(transforms).update(ToTensor=ToTensor, Normalize=Normalize, CenterCrop=CenterCrop)
    vars(package).update(transforms=transforms)
    with mock.patch.dict(sys.modules, {"torchvision": package, "torchvision.transforms": transforms}):
        from depth_anything_3.utils.io.input_processor import InputProcessor
    return InputProcessor()
