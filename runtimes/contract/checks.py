"""The checks, each a function of the subject and an empty folder."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, InputError, LoadError, RunError, UnsupportedError, UsageError
from depthport.runtimes.contract.subject import Subject, infer, nearly_equal, raises, require

_MIB = 1 << 20
LEAK_FLOOR_MIB = 24
"""Growth per load and close that an allocator's bookkeeping explains."""


def check_probe(subject: Subject, _folder: Path) -> None:
    """Every device says what it is; one that is not here says why and what to do."""
    devices = subject.runtime.probe()
    require(bool(devices), "probe() lists no device")
    for device in devices:
        require(bool(device.description), f"{device.name} has no description")
        if device.available:
            require(bool(device.modes), f"{device.name} is available and has no mode")
        else:
            require(bool(device.remedy), f"{device.name} is unavailable and has no remedy")
    require(subject.device in [d.name for d in devices], f"{subject.device} is not among them")


def check_outputs(subject: Subject, _folder: Path) -> None:
    """Outputs have the manifest's names, shapes and dtypes, in its order, and are finite."""
    with subject.load() as session:
        outputs = infer(session, subject.inputs(0))
        for spec in subject.artifact.manifest.outputs:
            array = outputs[spec.name]
            require(array.shape == spec.shape, f"{spec.name} has shape {array.shape}, not {spec.shape}")
            require(array.dtype == np.dtype(spec.dtype), f"{spec.name} is {array.dtype}, not {spec.dtype}")
            require(bool(np.isfinite(array).all()), f"{spec.name} is not finite")


def check_synchronize(subject: Subject, _folder: Path) -> None:
    """Outputs are ready after `synchronize`: fetching them costs less than the inference did.

    On a device that computes in the background only the clock can tell. The comparison is between two durations of the
    same session, and an honest one passes by orders of magnitude: a copy against a network.
    """
    with subject.load() as session:
        session.bind(subject.inputs(0))
        for _ in range(2):
            session.run()
            session.synchronize()
        shares = []
        for _ in range(3):
            begin = time.perf_counter()
            session.run()
            session.synchronize()
            done = time.perf_counter()
            session.outputs()
            shares.append((time.perf_counter() - done) / (done - begin))
        require(min(shares) < 1.0, "synchronize() returns before the work is done: outputs() does it instead")


def check_outputs_are_final(subject: Subject, _folder: Path) -> None:
    """Inputs bound after `synchronize` do not reach the outputs of the run before."""
    with subject.load() as session:
        expected = infer(session, subject.inputs(0))
        session.bind(subject.inputs(0))
        session.run()
        session.synchronize()
        session.bind(subject.inputs(1))
        require(nearly_equal(session.outputs(), expected), "outputs() reflect inputs that were bound after the run")


def check_rebinding(subject: Subject, _folder: Path) -> None:
    """Other inputs give other outputs, the first inputs give the first outputs again."""
    with subject.load() as session:
        first, second = infer(session, subject.inputs(0)), infer(session, subject.inputs(1))
        again = infer(session, subject.inputs(0))
        floats = [spec.name for spec in subject.artifact.manifest.outputs if spec.dtype == "float32"]
        for name in floats:
            require(not np.array_equal(first[name], second[name]), f"{name} does not depend on the bound inputs")
        require(nearly_equal(first, again), "the same inputs give different outputs the second time")


def check_inputs_are_copied(subject: Subject, _folder: Path) -> None:
    """An array may be reused by its owner once `bind` has returned."""
    with subject.load() as session:
        expected = infer(session, subject.inputs(0))
        inputs = subject.inputs(0)
        session.bind(inputs)
        for array in inputs.values():
            array[...] = 0
        session.run()
        session.synchronize()
        require(nearly_equal(session.outputs(), expected), "bind() keeps the caller's array instead of a copy")


def check_outputs_are_copies(subject: Subject, _folder: Path) -> None:
    """Arrays handed out stay as they are when the session goes on."""
    with subject.load() as session:
        kept = infer(session, subject.inputs(0))
        before = {name: array.copy() for name, array in kept.items()}
        infer(session, subject.inputs(1))
        changed = [name for name in kept if not np.array_equal(kept[name], before[name])]
        require(not changed, f"the next run overwrote {', '.join(changed)}")


def check_placement(subject: Subject, _folder: Path) -> None:
    """The session says it ran where it was asked to, and nothing ran elsewhere."""
    with subject.load() as session:
        infer(session, subject.inputs(0))
        placement = session.placement()
        require(placement.device == subject.device, f"placed on {placement.device}, not {subject.device}")
        require(bool(placement.details), "placement() shows no proof")
        require(not placement.fallback, f"ran elsewhere: {', '.join(placement.fallback)}")
        session.memory()


def check_order(subject: Subject, _folder: Path) -> None:
    """Calls out of order are typed errors, not crashes."""
    with subject.load() as session:
        raises(RunError, session.run, "run() before bind()")
        raises(RunError, session.outputs, "outputs() before run()")
        session.bind(subject.inputs(0))
        raises(RunError, session.outputs, "outputs() after bind() but before run()")
        infer(session, subject.inputs(0))


def check_close(subject: Subject, _folder: Path) -> None:
    """`close` twice is once; afterwards every call is a typed error."""
    session = subject.load()
    infer(session, subject.inputs(0))
    session.close()
    session.close()
    raises(RunError, session.run, "run() after close()")
    raises(RunError, session.synchronize, "synchronize() after close()")
    raises(RunError, session.outputs, "outputs() after close()")
    raises(RunError, lambda: session.bind(subject.inputs(0)), "bind() after close()")


def check_close_frees(subject: Subject, _folder: Path) -> None:
    """Loading and closing over and over does not make the process grow."""
    process = psutil.Process(os.getpid())

    def cycle() -> float:
        with subject.load() as session:
            infer(session, subject.inputs(0))
        gc.collect()
        _give_back_freed_memory()
        found: float = process.memory_info().rss / _MIB
        return found

    cycle()
    first = cycle()
    cycles = 3
    growth = (max(cycle() for _ in range(cycles)) - first) / cycles
    limit = max(LEAK_FLOOR_MIB, 0.25 * subject.artifact.manifest.size_bytes / _MIB)
    require(growth < limit, f"each load and close leaves {growth:.0f} MiB behind")


def _give_back_freed_memory() -> None:
    """Return freed memory to the system now: later, it would hide a leak (glibc)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def check_inputs(subject: Subject, _folder: Path) -> None:
    """Missing, unknown, misshapen and mistyped inputs, lists and NaN are refused in one line; the session stays usable."""
    good = subject.inputs(0)
    name, array = next(iter(good.items()))
    wrong: dict[str, Mapping[str, np.ndarray]] = {
        "a missing input": {key: value for key, value in good.items() if key != name},
        "an unknown input": {**good, "no_such_input": array},
        "another shape": {**good, name: array[..., :-1]},
        "another dtype": {**good, name: array.astype(np.float64)},
        "a list": {**good, name: array.tolist()},
    }
    if array.dtype.kind == "f":
        for value in (np.nan, np.inf):
            spoiled = array.copy()
            spoiled.flat[-1] = value
            wrong[f"an input that holds {value}"] = {**good, name: spoiled}
    with subject.load() as session:
        for what, inputs in wrong.items():
            raises(InputError, lambda inputs=inputs: session.bind(inputs), what)  # type: ignore[misc]
        infer(session, good)


def check_layouts(subject: Subject, _folder: Path) -> None:
    """A view that is not contiguous is as good as its copy."""
    inputs = subject.inputs(0)
    strided = {name: np.repeat(array, 2, axis=-1)[..., ::2] for name, array in inputs.items()}
    with subject.load() as session:
        require(nearly_equal(infer(session, strided), infer(session, inputs)), "strided inputs are read wrong")


def check_refusals(subject: Subject, _folder: Path) -> None:
    """Another format, and unknown devices, modes and options, are refused by type."""
    manifest = replace(subject.artifact.manifest, format="no-such-format")
    other = replace(subject, artifact=replace(subject.artifact, manifest=manifest))
    raises(UnsupportedError, other.load, "an artifact of another format")
    raises(UsageError, replace(subject, device="no-such-device").load, "an unknown device")
    options = replace(subject.options, mode="no-such-mode")
    raises(UsageError, replace(subject, options=options).load, "an unknown mode")
    options = replace(subject.options, extra={**subject.options.extra, "no_such_option": 1})
    raises(UsageError, replace(subject, options=options).load, "an unknown option")


def check_damage(subject: Subject, folder: Path) -> None:
    """Truncated and overwritten files are a LoadError (or an ArtifactError) in one line."""
    for name, spoil in {"truncated": _truncate, "overwritten": _overwrite}.items():
        copy = folder / name
        copy.mkdir()
        for info in subject.artifact.manifest.files:
            target = copy / info.path
            target.parent.mkdir(parents=True, exist_ok=True)
            spoil(subject.artifact.path / info.path, target)
        damaged = replace(subject, artifact=Artifact(copy, subject.artifact.manifest))
        raises((LoadError, ArtifactError), damaged.load, f"{name} files")
        shutil.rmtree(copy)


CHECKS: tuple[Callable[[Subject, Path], None], ...] = (
    check_probe,
    check_outputs,
    check_synchronize,
    check_outputs_are_final,
    check_rebinding,
    check_inputs_are_copied,
    check_outputs_are_copies,
    check_placement,
    check_order,
    check_close,
    check_close_frees,
    check_inputs,
    check_layouts,
    check_refusals,
    check_damage,
)
"""Every check; each takes the subject and an empty folder to work in."""


def _truncate(source: Path, target: Path) -> None:
    with source.open("rb") as stream:
        target.write_bytes(stream.read(source.stat().st_size // 2))


def _overwrite(_source: Path, target: Path) -> None:
    target.write_bytes(b"\x00damaged" * 64)
