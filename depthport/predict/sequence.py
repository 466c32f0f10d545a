"""A sequence of any length through one model: decode ahead, predict window after window, chain, and write as it goes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from depthport.exporters.core.errors import DepthportError
from depthport.exporters.core.files.atomic import storage_errors
from depthport.exporters.core.files.npz import write_npz
from depthport.predict.cameras import quaternion
from depthport.predict.model import Model
from depthport.predict.photographs import Photograph, Source, decode_threads, readers
from depthport.predict.pipeline import overlapped
from depthport.predict.windows import Chain, Frame, windows


def predict_sequence(
    model: Model,
    frames: Iterable[Source],
    *,
    views: int,
    overlap: int,
    oriented: bool = True,
    process_res: int | None = None,
    broken: Callable[[int, DepthportError], None] = lambda *_: None,
) -> Iterator[Frame]:
    """Depth and cameras of every frame, in one frame and scale; what is held does not grow with the sequence.

    Args:
        model: of artifacts of `views` views.
        frames: photographs in order, each as :meth:`Model.__call__` takes one.
        views, overlap: frames of a window, and how many of them are the last of the window before.
        oriented, process_res: as of :meth:`Model.__call__`.
        broken: told of each frame that is left out, since it can't be read: its place in `frames`, and why.

    Raises:
        UsageError: an overlap that is empty, or leaves no new frame.
        InputError: fewer frames than a window, frames that an artifact does not take, or windows that share nothing.
        RunError: the runtime failed.
    """
    started: list[int] = []

    def scenes() -> Iterator[list[Photograph]]:
        for first, window in windows(_whole(frames, oriented, broken), views, overlap):
            started.append(first)
            yield window

    chain = Chain()
    for item in model.stream(scenes(), process_res=process_res, images=False):
        if item.result is None:
            assert item.error is not None
            raise item.error
        yield from chain.add(started.pop(0), item.result)


def write_sequence(frames: Iterable[Frame], out: Path) -> int:
    """Write each frame as it comes, and return the number of frames.

    The files are `depth/NAME.npz` (depth, conf, extrinsics, intrinsics), `depth/NAME.png` (16 bits, depth over its
    largest), and a line in `poses.tum` (camera to world).

    Raises:
        StorageError: `out` can't be written to.
    """
    count, coming = 0, iter(frames)
    first = next(coming, None)  # what is refused before leaves nothing
    with storage_errors(out):
        folder = out / "depth"
        folder.mkdir(parents=True, exist_ok=True)
        with (out / "poses.tum").open("w", encoding="utf-8") as poses:
            for frame in chain([first] if first is not None else [], coming):
                name = f"{frame.index:06d}"
                arrays = {"depth": frame.depth, "conf": frame.conf}
                write_npz(
                    folder / f"{name}.npz", {**arrays, "extrinsics": frame.extrinsics, "intrinsics": frame.intrinsics}
                )
                (folder / f"{name}.png").write_bytes(_png(frame.depth))
                rotation = frame.extrinsics[:, :3].T
                w, x, y, z = quaternion(rotation)
                numbers = (*(-rotation @ frame.extrinsics[:, 3]), x, y, z, w)
                poses.write(f"{frame.index} " + " ".join(f"{value:.9g}" for value in numbers) + "\n")
                count += 1
    return count


def _whole(frames: Iterable[Source], oriented: bool, broken: Callable[[int, DepthportError], None]) -> Iterator[Photograph]:
    """The frames that can be decoded, decoded ahead."""
    with ThreadPoolExecutor(decode_threads(), thread_name_prefix="depthport-decode") as pool:

        def start(source: Source) -> Callable[[], list[Photograph]]:
            (read, *_) = readers([source], oriented=oriented)
            return pool.submit(read).result

        ahead = decode_threads()
        for item in overlapped(frames, start, _as_it_is, prepared_ahead=ahead, submitted_ahead=lambda: 0):
            if item.error is not None:
                broken(item.index, item.error)
            else:
                yield from item.result or ()


def _as_it_is(found: list[Photograph]) -> Callable[[], list[Photograph]]:
    return lambda: found


def _png(depth: np.ndarray) -> bytes:
    written = io.BytesIO()
    largest = float(depth.max()) or 1.0
    Image.fromarray((np.clip(depth / largest, 0, 1) * 65535).round().astype(np.uint16)).save(written, "PNG")
    return written.getvalue()
