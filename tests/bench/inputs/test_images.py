"""What is said of photographs that are not what they look like."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from depthport.bench.inputs.inputs import load_scenes
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.images import read_image


def test_an_exif_orientation_is_said(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 98, 3), dtype=np.uint8)
    paths = [tmp_path / f"{index}.jpg" for index in range(3)]
    for path, orientation in zip(paths, (1, 6, 0), strict=True):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(pixels).save(path, exif=exif)
    scene = load_scenes(Shape(1, 3, 70, 98), sets=1, images=paths)[0]
    assert len(scene.notes) == 1 and "orientation of view 1 is not applied" in scene.notes[0]
    assert not load_scenes(Shape(1, 1, 70, 98), sets=1, images=paths[:1])[0].notes


def test_a_floating_point_tiff_is_called_one(tmp_path: Path) -> None:
    tags = [(256, 4, 1, 4), (257, 4, 1, 2), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 200)]
    tags += [(277, 3, 1, 3), (278, 4, 1, 2), (279, 4, 1, 96), (339, 3, 1, 3)]
    header = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    (tmp_path / "depth.tif").write_bytes(header.ljust(200, b"\0") + np.ones((2, 4, 3), "<f4").tobytes())
    with pytest.raises(InputError, match="is a TIFF whose samples are not 8-bit") as raised:
        read_image(tmp_path / "depth.tif")
    assert "not an image" not in str(raised.value)
