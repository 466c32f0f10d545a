"""JPEG files to pixels on an NVIDIA GPU: nvJPEG through torchvision, where that was built with CUDA."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from depthport.exporters.core.errors import InputError, one_line


@dataclass(frozen=True)
class OnDevice:
    """A decoded photograph, there once `ready` has passed."""

    pixels: Tensor
    """(H, W, 3) uint8 RGB on the device."""
    ready: torch.cuda.Event


class NvJpeg:
    """Decodes whole batches, which is several times cheaper than one file after the other, on a stream of its own.

    Not libjpeg's bits: nvJPEG's inverse DCT and colour conversion round otherwise, and it repeats halved colour samples
    where libjpeg interpolates. What that does to depth and poses is in bench/records.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def __call__(self, photographs: Sequence[bytes]) -> Sequence[OnDevice]:
        """The pixels of `photographs`, which are JPEG files.

        Raises:
            InputError: nvJPEG refuses one of them.
        """
        from torchvision.io import ImageReadMode, decode_jpeg

        files = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in photographs]
        try:
            with torch.cuda.stream(self._stream):
                planes = decode_jpeg(files, mode=ImageReadMode.RGB, device=self._device)
                ready = self._stream.record_event()
        except RuntimeError as error:
            raise InputError(f"nvJPEG can't decode it ({one_line(error)}): save it again as a baseline JPEG") from None
        return [OnDevice(plane.permute(1, 2, 0), ready) for plane in planes]


def nvjpeg(device: torch.device) -> NvJpeg | None:
    """The decoder of a device; None where torchvision is not installed or has none."""
    if device.type != "cuda":
        return None
    try:
        from torchvision.io import decode_jpeg  # noqa: F401
    except ImportError:
        return None
    try:
        decoder = NvJpeg(device)
        decoder([_WHITE])
    except InputError:
        return None
    return decoder


def _white() -> bytes:
    """A JPEG of 16×16 white pixels."""
    written = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(written, "JPEG")
    return written.getvalue()


_WHITE = _white()
