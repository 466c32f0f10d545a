"""Many scenes from files to inputs and through a session: stages overlap, order is kept, memory is bounded.

    files ─▶ decode and resize (a pool of threads, or the GPU) ─▶ copy in ─▶ network ─▶ copy out ─▶ results

Photographs of the scenes ahead are decoded while the network computes the present one. Nothing is read further ahead than
keeps the threads busy, so memory does not grow with the sequence, and a consumer who stops asking stops everything. A scene
that can't be prepared is reported in its place; the others go on.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from depthport.exporters.core.errors import DepthportError, InputError
from depthport.exporters.inputs.images import read_file, read_header
from depthport.predict.photographs import FRAMES, VIDEOS, Source, decode_threads, readers
from depthport.predict.recipe import Prepared, Recipe
from depthport.runtimes.session import DeviceDecoder

DEVICE_BATCH = 8
"""Most photographs that a device decodes together."""
_PREPARED_AHEAD = 2
"""Fewest scenes that are prepared ahead of their turn."""

S = TypeVar("S")
P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Item(Generic[R]):
    """Result of one scene."""

    index: int
    """Its place in the sequence, from 0."""
    result: R | None
    error: DepthportError | None
    """Reason there is no result."""


def overlapped(
    scenes: Iterable[S],
    start: Callable[[S], Callable[[], P]],
    submit: Callable[[P], Callable[[], R]],
    *,
    prepared_ahead: int,
    submitted_ahead: Callable[[], int],
    fits: Callable[[P], bool] = lambda _: True,
) -> Generator[Item[R], None, None]:
    """Each scene's result, in order.

    Args:
        scenes: taken one by one, no further ahead of their results than the two numbers say.
        start: begins to prepare a scene; what it returns waits for that, and raises what went wrong.
        submit: begins to compute what was prepared; what it returns waits for the result.
        fits: whether it can be submitted while others are still being computed.

    Raises:
        DepthportError: computing failed; what only concerns the photographs of a scene is its item's `error`.
    """
    coming = enumerate(scenes)
    preparing: deque[tuple[int, Callable[[], P]]] = deque()
    computing: deque[tuple[int, Callable[[], R] | DepthportError]] = deque()
    ready: P | DepthportError | None = None
    exhausted = False
    while True:
        while not exhausted and len(preparing) <= prepared_ahead:
            following = next(coming, None)
            if following is None:
                exhausted = True
            else:
                preparing.append((following[0], _started(start, following[1])))
        if preparing and len(computing) <= submitted_ahead():
            if ready is None:
                ready = _attempt(preparing[0][1])
            if isinstance(ready, DepthportError) or not computing or fits(ready):
                index, _ = preparing.popleft()
                computing.append((index, _submitted(submit, ready)))
                ready = None
                continue
        if not computing:
            return
        index, waiting = computing.popleft()
        if isinstance(waiting, DepthportError):
            yield Item(index, None, waiting)
        else:
            yield Item(index, waiting(), None)


def _started(start: Callable[[S], Callable[[], P]], scene: S) -> Callable[[], P]:
    try:
        return start(scene)
    except DepthportError as error:
        failed = error

    def fail() -> P:
        raise failed

    return fail


def _attempt(prepare: Callable[[], P]) -> P | DepthportError:
    try:
        return prepare()
    except DepthportError as error:
        return error


def _submitted(submit: Callable[[P], Callable[[], R]], ready: P | DepthportError) -> Callable[[], R] | DepthportError:
    if isinstance(ready, DepthportError):
        return ready
    try:
        return submit(ready)
    except InputError as error:
        return error


class Preparation:
    """Decodes and resizes scenes in its own threads, or on a device that decodes. A context manager."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        decoder: DeviceDecoder | None = None,
        threads: int | None = None,
        oriented: bool = True,
        frames: int = FRAMES,
    ) -> None:
        """Start the threads.

        Args:
            recipe: of the artifact.
            decoder: the session's, for photographs that have the very size the artifact takes; others are decoded here.
            threads: that decode; None: one a core, eight at most.
            oriented, frames: as :func:`depthport.predict.photographs.load_photographs` takes them.
        """
        self._recipe, self._oriented, self._frames = recipe, oriented, frames
        self._threads = threads or decode_threads()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="depthport-decode")
        self._batches = _Batches(decoder) if decoder is not None else None

    @property
    def ahead(self) -> int:
        """Scenes worth preparing before their turn: each gives the threads one photograph at least."""
        return max(_PREPARED_AHEAD, DEVICE_BATCH if self._batches else self._threads)

    def start(self, scene: Sequence[Source]) -> Callable[[], Prepared]:
        """Begin to prepare a scene; what it returns waits for it.

        Raises:
            InputError, UnavailableError: here or from what it returns; as
                :func:`depthport.predict.photographs.load_photographs` and :class:`Recipe` raise them.
        """
        if self._batches is not None:
            return self._start_on_device(scene, self._batches)
        each = readers(scene, oriented=self._oriented, frames=self._frames)
        futures = [self._pool.submit(lambda read: [self._recipe.view(one) for one in read()], read) for read in each]
        return lambda: self._recipe.scene([view for future in futures for view in future.result()])

    def _start_on_device(self, scene: Sequence[Source], batches: _Batches) -> Callable[[], Prepared]:
        looked_at = self._pool.submit(self._look, scene, batches)

        def wait() -> Prepared:
            found = looked_at.result()
            return found if isinstance(found, Prepared) else found()

        return wait

    def _look(self, scene: Sequence[Source], batches: _Batches) -> Prepared | Callable[[], Prepared]:
        """Hand a scene's files to the device, if all of them suit it; else decode them here."""
        files = files_for_device(scene, self._recipe, oriented=self._oriented)
        if files is not None:
            decoding = batches.put([data for _, data in files])
            return lambda: self._recipe.on_device([name for name, _ in files], decoding.result())
        each = readers(scene, oriented=self._oriented, frames=self._frames)
        return self._recipe.scene([self._recipe.view(one) for read in each for one in read()])

    def __enter__(self) -> Preparation:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._batches is not None:
            self._batches.close()


class _Batches:
    """One thread that lets the device decode whatever is waiting, together: several files at once cost little more."""

    def __init__(self, decoder: DeviceDecoder) -> None:
        self._decode = decoder
        self._waiting: queue.SimpleQueue[tuple[list[bytes], Future[Sequence[object]]] | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="depthport-device-decode")
        self._pool.submit(self._serve)

    def put(self, photographs: list[bytes]) -> Future[Sequence[object]]:
        """Queue the files of a scene; the future holds what the decoder gives for them."""
        future: Future[Sequence[object]] = Future()
        self._waiting.put((photographs, future))
        return future

    def close(self) -> None:
        """End the thread, once what is queued is decoded."""
        self._waiting.put(None)
        self._pool.shutdown(wait=True)

    def _serve(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while sum(len(files) for files, _ in batch) < DEVICE_BATCH and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    self._waiting.put(None)
                    break
                batch.append(following)
            self._serve_batch(batch)

    def _serve_batch(self, batch: list[tuple[list[bytes], Future[Sequence[object]]]]) -> None:
        try:
            found = list(self._decode([data for files, _ in batch for data in files]))
        except Exception as error:  # noqa: BLE001 - the boundary of a thread: the one waiting for the scene raises it
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # One of several is broken: each scene by itself tells which.
            for one in batch:
                self._serve_batch([one])
            return
        for files, future in batch:
            future.set_result(found[: len(files)])
            del found[: len(files)]


def files_for_device(scene: Sequence[Source], recipe: Recipe, *, oriented: bool) -> list[tuple[str, bytes]] | None:
    """Names and bytes of a scene's files, if they are such as a device decodes into what the artifact takes; else None.

    Raises:
        InputError: a file can't be read, or is not an image.
    """
    files = [_file(source, index) for index, source in enumerate(scene)]
    for name, data in files:
        if data is None:
            return None
        header = read_header(data, name)
        if not header.plain or header.size != recipe.source_size or (oriented and header.turned):
            return None
    return [(name, data) for name, data in files if data is not None] or None


def _file(source: Source, index: int) -> tuple[str, bytes | None]:
    """The name and the bytes of a source that is a file."""
    if isinstance(source, bytes):
        return f"view-{index}", source
    if isinstance(source, (str, Path)) and Path(source).is_file() and Path(source).suffix.lower() not in VIDEOS:
        return Path(source).name, read_file(source)
    return "", None
