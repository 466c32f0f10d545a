"""Two colour maps of 256 colours: viridis for depth, inferno for errors.

Both are perceptually uniform, rise in lightness from end to end and keep their order for every kind of colour
blindness (N. Smith and S. van der Walt, SciPy 2015; dedicated to the public domain, CC0). Each is given at 33
points and interpolated, which stays within two of 255 levels of the original.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _table(anchors: str) -> NDArray[np.uint8]:
    """(256, 3) from colours in hexadecimal at equal distances."""
    points = np.array([list(bytes.fromhex(colour)) for colour in anchors.split()], np.float64)
    at = np.linspace(0, 255, len(points))
    found: NDArray[np.uint8] = (
        np.stack([np.interp(np.arange(256), at, channel) for channel in points.T], -1).round().astype(np.uint8)
    )
    return found


VIRIDIS = _table(
    "440154 470d60 48186a 482374 472d7b 453681 424086 3f4989 3b528b 375a8d 33638d "
    "2f6a8e 2c728e 297a8e 26818e 23898e 21908c 1f988b 1f9f88 21a685 28ae80 31b57b "
    "3ebc74 4cc26c 5dc963 6ece58 82d34c 96d83f abdc32 c0df24 d5e21a eae51a fde725"
)
INFERNO = _table(
    "000004 040312 0b0724 150b37 210c4a 2e0a5a 3c0965 4a0c6b 57106d 63146e 70196e "
    "7d1e6d 89226a 962766 a32b61 af315c bb3755 c63e4d d14644 db4f3b e35932 eb6528 "
    "f1711e f67f14 f98d0a fb9c06 fcab0f fbba1f f9ca32 f5d949 f2e865 f3f586 fcffa4"
)
