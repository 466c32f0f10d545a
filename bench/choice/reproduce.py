"""`reproduce`: the command and a short script that rerun one cell of a results file alone.

The command repeats the cell under its own protocol, with the baseline its ratio needs. The script uses only
the export and runtime interfaces, nothing of `bench`, so that a figure can be checked without trusting the harness that
made it.
Everything that comes from the file is quoted for the shell, or is JSON inside the script.
"""

from __future__ import annotations

import pprint
import re
import shlex
from dataclasses import asdict, dataclass

from packaging.version import InvalidVersion, Version

from depthport.bench.choice.comparable import nearest
from depthport.bench.plan.protocol import RIGOROUS
from depthport.bench.results.cell_id import short_id
from depthport.bench.results.metrics import number
from depthport.bench.results.model import FROM_FILES, Cell, Results
from depthport.bench.results.runtime_facts import packages_of
from depthport.bench.results.sections import ArtifactSection, AskedSection, RegimeSection
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.install import UPSTREAM, pinned
from depthport.exporters.core.text import quoted
from depthport.runtimes.registry import installed_runtime

_NETWORK = (UPSTREAM, "torch", "numpy")
"""Packages that build the network and compute the baseline, whatever runs the cell."""
_FACTS = (
    *("id", "model", "batch", "views", "height", "width", "weights"),
    *("format", "runtime", "device", "mode", "precision"),
)
SUITES = ("quick", "default", "paper", "full")
DYNAMIC = ("views", "size", "batch")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")


@dataclass(frozen=True)
class Recipe:
    """Instructions for rerunning one cell."""

    cell: str
    command: tuple[str, ...]
    """Arguments, unquoted."""
    install: tuple[str, ...]
    """`name==version` of what took part."""
    script: str
    """A Python program."""
    expected: str
    """The cell's facts, in one line."""
    notes: tuple[str, ...]

    @property
    def command_line(self) -> str:
        """The command as one line for a POSIX shell."""
        return shlex.join(self.command)

    @property
    def install_lines(self) -> list[str]:
        """Lines for a POSIX shell that install it."""
        return [str(line) for line in pinned(*self.install)]

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "command_line": self.command_line, "install_lines": self.install_lines}


def reproduce(results: Results, cell_id: str) -> Recipe:
    """The recipe of one cell.

    Raises:
        UsageError: the file has no such cell (names the nearest ones), or one whose runtime or format is not a valid name.
    """
    cell = next((c for c in results.cells if c.id == short_id(cell_id)), None)
    if cell is None:
        close = [c.id for c in results.cells if cell_id.lower() in c.id.lower()][:3] or [c.id for c in results.cells[:3]]
        raise UsageError(f"no cell {quoted(cell_id)} in these results: try {', '.join(close) or 'another file'}")
    for what, name in (("runtime", cell.runtime), ("format", cell.format)):
        if _NAME.fullmatch(name) is None:
            # `module:Class` would be imported by the script.
            raise UsageError(
                f"the cell's {what} {quoted(name)} is not a valid name: the cell can't be reproduced from this file"
            )
    versions = _versions(results, cell)
    return Recipe(
        cell.id,
        tuple(_command(results, cell)),
        tuple(f"{name}=={version}" for name, version in versions.items()),
        _script(cell),
        _expected(cell),
        tuple(_notes(results, cell)),
    )


def command_line(results: Results, cell: Cell) -> str:
    """The command that repeats a cell, as one line for a POSIX shell."""
    return shlex.join(_command(results, cell))


def _command(results: Results, cell: Cell) -> list[str]:
    protocol = results.protocol
    suite = protocol.get("suite")
    words = ["depthport", "bench", model_word(cell), f"--views={cell.views}"]
    words += [f"--size={cell.height}x{cell.width}", f"--batch={cell.batch}", f"--weights={cell.weights}"]
    words.append(f"--suite={suite if suite in SUITES else 'full'}")
    if suite != "paper":
        words.append(f"--also={cell.precision}")
    words.append(f"--cell={cell.id}")
    asked = {name: protocol.get(name) for name in ("name", "launches", "seed", "budget_s")}
    for option, value in zip(("protocol", "launches", "seed", "budget"), asked.values(), strict=True):
        if value is not None:
            words.append(f"--{option}={value}")
    until = protocol.get("target_half_width")
    words += [f"--until={100 * until:g}%"] if until not in (None, RIGOROUS.target_half_width) else []
    words += ["--boundary=pipeline"] if FROM_FILES in cell.tags else []
    words += _memory(cell) + _asked(protocol.get("asked", {})) + _regime(protocol.get("regime", {}))
    # The form --option=value keeps a value that begins with a dash from being read as an option.
    return [*words, "--out=reproduced"]


def model_word(cell: Cell) -> str:
    """The model as a first argument: a name out of a file is never read as an option."""
    return f"./{cell.model}" if cell.model.startswith("-") else cell.model


def _memory(cell: Cell) -> list[str]:
    """The share of the accelerator's memory, where it was not the default one."""
    fraction = number(cell.placement.details.get("memory_fraction")) if cell.placement else None
    usual = fraction is None or (cell.device.startswith("mps") and fraction == 0.85)
    return [] if usual else [f"--memory-fraction={fraction:g}"]


def input_arguments(cell: Cell) -> AskedSection:
    """Return the artifact's inputs as arguments of `depthport.exporters.export`; defaults where the file is silent."""
    artifact: ArtifactSection = cell.artifact or {}
    preprocessing = artifact.get("preprocessing", {})
    return {
        "dynamic": [name for name in artifact.get("dynamic", ()) if name in DYNAMIC],
        "pose_input": "extrinsics" in artifact.get("inputs", ()),
        "preprocess": preprocessing.get("where") == "graph",
        "source_size": preprocessing.get("source_size"),
    }


def mode_options(cell: Cell) -> dict[str, object]:
    """Return the export options that the runtime's mode asks for, where the runtime is installed here."""
    runtime = installed_runtime(cell.runtime)
    devices = runtime.probe() if runtime is not None else []
    found = (mode for device in devices if device.name == cell.device for mode in device.modes if mode.name == cell.mode)
    mode = next(found, None)
    return dict(mode.export_options) if mode is not None else {}


def _asked(asked: AskedSection) -> list[str]:
    """Options for what was asked of the artifacts: poses in, preprocessing inside, open dimensions."""
    words = ["--pose-input"] if asked.get("pose_input") else []
    words += ["--preprocess"] if asked.get("preprocess") else []
    if size := asked.get("source_size"):
        words.append(f"--source-size={size[0]}x{size[1]}")
    names = [name for name in asked.get("dynamic", ()) if name in DYNAMIC]
    return [*words, f"--dynamic={','.join(names)}"] if names else words


def _regime(regime: RegimeSection) -> list[str]:
    """Options of a sustained or fixed-rate run; none for `burst`."""
    if regime.get("kind") not in ("sustained", "fixed-rate"):
        return []
    seconds, rate_hz = number(regime.get("seconds")), number(regime.get("rate_hz"))
    words = [f"--rate-hz={rate_hz:g}"] if regime["kind"] == "fixed-rate" and rate_hz else ["--regime=sustained"]
    return words if seconds is None else [*words, f"--minutes={seconds / 60:g}"]


def _versions(results: Results, cell: Cell) -> dict[str, str]:
    known: dict[str, str] = {}
    took_part = {*_NETWORK, *packages_of(cell.runtime, cell.format)}
    for source in (results.environment.get("packages", {}), (cell.artifact or {}).get("versions", {})):
        found = {name: _version(source.get(name)) for name in took_part}
        known |= {name: version for name, version in found.items() if version is not None}
    runtime = installed_runtime(cell.runtime)
    builds = [name for name in runtime.builds if name in known] if runtime is not None else []
    for covered in builds[:-1]:  # their files are the last one's
        del known[covered]
    return dict(sorted(known.items()))


def _version(value: str | None) -> str | None:
    """A version as PEP 440 spells it; None for anything else that a file may say."""
    try:
        return None if value is None else str(Version(value))
    except InvalidVersion:
        return None


def _expected(cell: Cell) -> str:
    parts = [
        f"{timing.median_ms:.4g} ms at the {boundary} boundary (median of {timing.n})"
        for boundary, timing in cell.timing.items()
        if timing.median_ms is not None
    ]
    return ", ".join(parts) or cell.reason or cell.status.value


def _notes(results: Results, cell: Cell) -> list[str]:
    notes = []
    sha = results.weights.get(cell.model, {}).get("sha256")
    if not cell.weights.startswith("synthetic:") and "/" not in cell.weights:
        notes.append(f"the weights were a local file called {cell.weights!r}: give its path to --weights")
    if sha is not None:
        notes.append(f"the weights' sha256 is {sha}")
    name = results.inputs.get("name")
    if name is not None:
        notes.append(f"the inputs were {name}; add --images if they were your own")
    if any("+" in version for version in _versions(results, cell).values()):
        notes.append("a version with + comes from its maker's package index: see its install page")
    runner_up = nearest(cell, [c for c in results.cells if c is not cell])
    if FROM_FILES in cell.tags:
        notes.append("the command times it from photographs to arrays, as here; the script times its network alone")
    if not cell.timing and runner_up:
        notes.append(f"it was not timed; {runner_up}")
    return notes


_SCRIPT = '''"""Rerun one cell of a depthport results file, without the benchmark that made the file.

Its inputs are noise: the runtimes here compute the same operations whatever they see.
"""

import statistics
import time

import numpy as np

import depthport
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.registry import get_runtime

CELL = @CELL@
WARMUPS, CALLS = 5, 30

asked = CELL["inputs"]
batch, views, height, width = CELL["batch"], CELL["views"], CELL["height"], CELL["width"]
artifact = depthport.export(
    CELL["model"], format=CELL["format"], precision=CELL["precision"], batch=batch, views=views, height=height,
    width=width, weights=CELL["weights"], target=CELL["target"], options=CELL["options"], **asked,
).artifact
random = np.random.default_rng(0)
if asked["preprocess"]:
    photograph = asked["source_size"] or (height, width)
    inputs = {"image": random.integers(0, 256, (batch, views, *photograph, 3), dtype=np.uint8)}
else:
    inputs = {"image": random.standard_normal((batch, views, 3, height, width), dtype=np.float32)}
if asked["pose_input"]:
    camera = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float32)
    inputs["extrinsics"] = np.tile(np.eye(4, dtype=np.float32), (batch, views, 1, 1))
    inputs["extrinsics"][..., 0, 3] = 0.1 * np.arange(views)
    inputs["intrinsics"] = np.tile(camera, (batch, views, 1, 1))
device_ms, host_ms = [], []
with get_runtime(CELL["runtime"]).load(artifact, CELL["device"], LoadOptions(mode=CELL["mode"])) as session:
    for call in range(WARMUPS + CALLS):
        began = time.perf_counter_ns()
        session.bind(inputs, checked=call > 0)
        session.synchronize()
        bound = time.perf_counter_ns()
        session.run()
        session.synchronize()
        done = time.perf_counter_ns()
        session.outputs()
        ended = time.perf_counter_ns()
        if call >= WARMUPS:
            device_ms.append((done - bound) / 1e6)
            host_ms.append((ended - began) / 1e6)
    print("ran on", session.placement())
print("expected", CELL["expected"])
print(f"device {statistics.median(device_ms):.4g} ms, host {statistics.median(host_ms):.4g} ms, n = {CALLS}")
'''


def _script(cell: Cell) -> str:
    facts = {name: getattr(cell, name) for name in _FACTS}
    facts["target"] = (cell.artifact or {}).get("options", {}).get("target")
    facts["options"] = mode_options(cell)
    facts["inputs"] = input_arguments(cell)
    facts["expected"] = _expected(cell)
    # repr gives a Python literal that no content can leave.
    literal = pprint.pformat(facts, width=100, sort_dicts=False)
    return _SCRIPT.replace("@CELL@", literal)
