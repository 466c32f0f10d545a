"""Everything that follows from the input's shape alone. Imports no torch.

The static network is built for one (B, N, H, W); every size that its layers need is derived here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from depthport.exporters.core.asked import count_images
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.text import quoted

PATCH = 14
"""Side of a patch in pixels; H and W are multiples of it."""
_IMAGE_BYTES_A_PIXEL = 3 * 4 + 4 + 4
"""The input's three channels, the depth and its confidence in float32: no way to run a model takes less."""


@dataclass(frozen=True)
class NetworkShape:
    """The input (B, N, 3, H, W) and the sizes of the maps inside the network.

    Raises:
        UsageError: a number below 1, or H or W not a multiple of 14 (:func:`validate_shape`).
    """

    batch: int
    """B, scenes."""
    views: int
    """N, views of a scene."""
    height: int
    """H in pixels."""
    width: int
    """W in pixels."""

    def __post_init__(self) -> None:
        validate_shape(self.batch, self.views, self.height, self.width)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image and of the depth map."""
        return self.height, self.width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; patch tokens lie row by row."""
        return self.height // PATCH, self.width // PATCH

    @property
    def tokens(self) -> int:
        """Tokens of one view: the class or camera token, then the patches."""
        rows, columns = self.grid
        return 1 + rows * columns

    @property
    def pyramid(self) -> tuple[tuple[int, int], ...]:
        """Sizes of the four maps that the head fuses, finest first: 4, 2, 1 and 1/2 samples a patch side.

        The coarsest comes from a 3×3 convolution of stride 2 and padding 1, which rounds up.
        """
        rows, columns = self.grid
        return ((4 * rows, 4 * columns), (2 * rows, 2 * columns), (rows, columns), ((rows + 1) // 2, (columns + 1) // 2))

    @property
    def fused(self) -> tuple[int, int]:
        """Size of the fused map, 8 samples a patch side; the ray maps have it."""
        rows, columns = self.grid
        return 8 * rows, 8 * columns


def validate_shape(batch: int, views: int, height: int, width: int) -> None:
    """Check the shape of an input (B, N, 3, H, W).

    Raises:
        UsageError: B or N below 1, H or W not a positive multiple of 14 (the message names the nearest valid value), or
            more than this machine's memory can hold.
    """
    for name, value in (("batch", batch), ("views", views), ("height", height), ("width", width)):
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
            raise UsageError(f"{name} must be a whole number that can be counted, not {quoted(value)}")
    for name, value in (("batch", batch), ("views", views)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}: use {name} 1 or more")
    for name, value in (("height", height), ("width", width)):
        if value < PATCH or value % PATCH:
            nearest = max(PATCH, (value + PATCH // 2) // PATCH * PATCH)
            raise UsageError(f"{name} must be a multiple of {PATCH}, not {value}: the nearest is {nearest}")
    count_images(batch * views, height, width, _IMAGE_BYTES_A_PIXEL)
