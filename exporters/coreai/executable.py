"""Running an asset: its compiled form, and calls that don't block.

Apple's runtime loads an `.aimodel` itself (macOS 27 and newer). The runtime inside the wheel, the only one elsewhere,
loads the compiled form alone: a folder that :func:`compile_asset` writes and that belongs to the version of coreai-core
that wrote it. Calls are coroutines: each program has an event loop in a thread of its own, so a caller may have one too.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from depthport.exporters.core.errors import ArtifactError, ExportError, LoadError, one_line

Arrays = dict[str, np.ndarray]
ENTRY = "main"
SUFFIX = ".aimodel"
COMPILED_SUFFIX = ".aimodelx"
_MADV_DONTNEED = 4
"""`MADV_DONTNEED` of Linux."""


def system_loads_assets() -> bool:
    """Return whether the system has Apple's own runtime; else the wheel's is used."""
    from coreai.runtime import SpecializationOptions

    return bool(SpecializationOptions.is_supported())


def compile_asset(asset: Path, destination: Path, *, debug: bool = False) -> None:
    """Write the compiled form of an asset.

    Args:
        asset: an `.aimodel` folder.
        destination: a folder ending in `.aimodelx`, made here.
        debug: keep what maps an operation of the program to what the runtime executes.

    Raises:
        ArtifactError: the asset is damaged, or of a version that this coreai-core does not read.
    """
    from coreai.authoring import AIModelAsset

    if not AIModelAsset.is_valid(asset):
        raise ArtifactError(f"{asset.name} is not a Core AI asset: export it again")
    # The compiler ends the process over a program that it can't read; the summary of one has no function.
    if not functions(asset):
        raise ArtifactError(
            f"{asset.name} has no readable function: it is damaged or from another version; export it again"
        )
    destination.mkdir(parents=True)
    try:
        # `AIModelAsset.executable()` does the same into a folder that it deletes.
        AIModelAsset.load(asset)._write_odix(destination, enable_debug_info=debug)
    except (RuntimeError, ValueError, OSError) as error:
        raise ArtifactError(
            f"{asset.name} can't be compiled: it is damaged or from another version of coreai-core; "
            f"export it again ({one_line(error, 120)})"
        ) from error


def functions(asset: Path) -> tuple[str, ...]:
    """Names of the functions of an asset; none where its program can't be read."""
    from coreai.authoring import AIModelAsset

    try:
        found = AIModelAsset.load(asset).summary(include_statistics=False)
    except (RuntimeError, ValueError, OSError):
        return ()
    return () if found is None else tuple(found.function_names)


T = TypeVar("T")


class Program:
    """The one function of a loaded asset; close it when done."""

    def __init__(self, path: Path, specialization: Any = None, *, loggers: Mapping[str, object] | None = None) -> None:
        """Load.

        Args:
            path: a compiled folder, or an asset where :func:`system_loads_assets`.
            specialization: `coreai.runtime.SpecializationOptions` for Apple's runtime; None: its default.
            loggers: further arguments of `AIModel.load_function`.

        Raises:
            LoadError: the runtime refused it.
        """
        from coreai.runtime import AIModel

        self._path = path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"coreai {path.name}", daemon=True)
        self._thread.start()
        try:
            self.model: Any = self._submit(AIModel.load(path, specialization)).result()
            self._function: Any = self.model.load_function(ENTRY, **cast(Any, loggers or {}))
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            self._stop()
            raise LoadError(f"Core AI can't load {path.name}: {one_line(error)}") from error
        described = self._function.desc
        self.inputs: tuple[str, ...] = tuple(described.input_names)
        self.outputs: tuple[str, ...] = tuple(described.output_names)

    def start(self, inputs: Mapping[str, np.ndarray]) -> Future[Arrays]:
        """Begin one call; the future gives the outputs by name as arrays of their own.

        Args:
            inputs: by name, C-contiguous; must not change until the call is done.
        """
        return self._submit(self._call(inputs))

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """One call, waited for."""
        return self.start(inputs).result()

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        if self._loop.is_closed():
            return
        self._function = self.model = None
        self._stop()
        give_back(self._path)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _call(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        from coreai.runtime import NDArray as Tensor

        raw = await self._function({name: Tensor(array) for name, array in inputs.items()})
        return {name: np.array(value.numpy(), order="C") for name, value in raw.items()}

    def _submit(self, work: Coroutine[object, None, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def give_back(folder: Path) -> None:
    """Let the system have the pages of files below `folder` that this process maps and only reads.

    coreai-core 1.0.0b3 keeps a closed model's weights mapped until the process ends. What is given back is read from the
    file again if anything should still touch it.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return
    inside = f"{folder.resolve()}{os.sep}"
    for line in maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith(inside) and "w" not in fields[1]:
            first, last = (int(address, 16) for address in fields[0].split("-"))
            _libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def check_signature(program: Program, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> str | None:
    """Return what differs between a program's names and its manifest's; None where nothing does."""
    if set(program.inputs) == set(inputs) and set(program.outputs) == set(outputs):
        return None
    return (
        f"the asset takes {', '.join(sorted(program.inputs))} and gives {', '.join(sorted(program.outputs))}, its "
        f"manifest says {', '.join(sorted(inputs))} and {', '.join(sorted(outputs))}: export it again"
    )


def run_asset(asset: Path, folder: Path, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Compile an asset into `folder` and run it once.

    Raises:
        ExportError: it does not compile, load or run.
    """
    try:
        compiled = folder / f"check{COMPILED_SUFFIX}"
        compile_asset(asset, compiled)
        with Program(compiled) as program:
            return program.run(inputs)
    except (ArtifactError, LoadError, RuntimeError, ValueError, TypeError) as error:
        raise ExportError(f"the converted asset does not run: {one_line(error)}") from error
