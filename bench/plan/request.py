"""The user's request for a measurement, and the cells that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import PROTOCOLS, TIMED, Protocol, Timed, get_protocol
from depthport.bench.plan.regime import Regime
from depthport.bench.results.cell_id import short_id
from depthport.bench.results.model import ALTERNATIVE
from depthport.exporters.api import open_dims_of, prepare
from depthport.exporters.core.asked import BUDGET_S, LAUNCHES, SEED, THREADS, UNTIL_PERCENT, check_keywords, known_name
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.precision import auto_precision, resolve_policy
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.request import ExportRequest, NetworkKeywords
from depthport.exporters.da3.weights import weights_to_measure
from depthport.exporters.inputs.preprocess import validate_source
from depthport.runtimes.base import Device, Mode, Runtime
from depthport.runtimes.registry import baseline_runtime
from depthport.runtimes.terms import check_memory_fraction

if TYPE_CHECKING:
    from typing_extensions import Unpack

DEFAULT_MODEL = "da3-small"
UNTIL_BUDGET_S = 900.0
"""Most that a run takes for the precision it was asked for, where no budget is given."""

# What people deploy on a kind of device, best known first; the first is the default suite's precision.
_DEPLOYED: dict[str, tuple[str, ...]] = {"cpu": ("fp32",), "cuda": ("bf16", "fp16"), "mps": ("fp16",), "ane": ("fp16",)}


@dataclass(frozen=True)
class Filters:
    """Keep only cells whose field is among the values; an empty field keeps all. The baseline is always kept."""

    runtimes: Sequence[str] = ()
    devices: Sequence[str] = ()
    modes: Sequence[str] = ()
    precisions: Sequence[str] = ()
    formats: Sequence[str] = ()
    cells: Sequence[str] = ()
    """Whole cell ids, in the short form or the long one of before (bench/results/cell_id.py)."""

    def device_names(self) -> tuple[str, ...]:
        """Every device that is named, by itself or in a cell's id."""
        return tuple(dict.fromkeys((*self.devices, *(name.split("/")[1] for name in self.cells if name.count("/") > 1))))

    def keep(self, cell: CellSpec) -> bool:
        pairs = (
            (self.runtimes, cell.runtime),
            (self.devices, cell.device),
            (self.precisions, cell.export.precision),
            (self.formats, cell.export.format),
            (tuple(map(short_id, self.cells)), cell.id),
        )
        named = not self.modes or any(name in self.modes for name in (cell.mode, *cell.mode_aliases))
        return named and all(not wanted or value in wanted for wanted, value in pairs)


class MeasureKeywords(NetworkKeywords, total=False):
    """Keywords of `depthport.plan` and `depthport.run`."""

    images: Sequence[Path | str]
    """The user's own photographs, B·N of them in order; the shipped ones if not given."""
    poses: Path | str | None
    """A file with their cameras (bench/inputs/pose_files.py); implies `pose_input`."""
    suite: str
    """`default`, `quick`, `alternatives`, `paper`, `check` or `full` (bench/plan/suites.py)."""
    protocol: str | None
    """`rigorous`, `quick`, `paper` or `check`; None: the suite's own."""
    filters: Filters | None
    precisions: Sequence[str]
    threads: int | None
    memory_fraction: float | None
    interpreters: Mapping[str, str] | None
    regime: Regime | None
    """As :class:`MeasureRequest` has them."""
    boundary: Timed
    """Subject of the timing: the network (default), or from encoded photographs to arrays."""
    budget_s: float | None
    until: float | None
    """Half-width (0.05: ±5 %) at which every ratio that matters is known well enough; within `UNTIL_BUDGET_S`, unless a
    budget is given."""
    launches: int | None
    seed: int | None
    """Seed in place of the protocol's own."""


@dataclass(frozen=True)
class MeasureRequest:
    """The user's request for a measurement, complete and validated (:func:`measure_request` makes it); JSON types only."""

    export: ExportRequest
    """Request that all cells' artifacts have in common. Its format, precision, target, options and open dimensions are the
    baseline's: each cell has its own."""
    protocol: Protocol
    suite: str = "default"
    filters: Filters = field(default_factory=Filters)
    precisions: tuple[str, ...] = ()
    """Precisions to add to every cell's own; empty: the suite's."""
    threads: int | None = None
    memory_fraction: float | None = None
    """Share of a device's memory every cell may take (LoadOptions.memory_fraction)."""
    interpreters: Mapping[str, str] = field(default_factory=dict)
    """Python interpreter per runtime, where requirements conflict."""
    dynamic: tuple[str, ...] = ()
    """Measure artifacts that leave these dimensions open too, beside the static ones, where the format is for that."""
    images: tuple[str, ...] = ()
    poses: str | None = None
    regime: Regime | None = None
    """Another regime than `burst` (bench/measure/regime_run.py)."""

    def artifact(
        self, format: str, precision: str, target: str | None = None, options: Mapping[str, object] | None = None
    ) -> ExportRequest:
        """The artifact of this request in a format; `options` are the format's own."""
        policy = resolve_policy(precision)
        return replace(self.export, format=format, policy=policy, target=target, options=dict(options or {}))


def measure_request(model: str = DEFAULT_MODEL, **asked: Unpack[MeasureKeywords]) -> MeasureRequest:
    """Check and resolve a request; nothing is built, written or loaded.

    Raises:
        TypeError: a keyword that is not among :class:`MeasureKeywords`.
        UsageError, WeightsError: what is wrong with the request, in one line (exit code 2).
    """
    check_keywords(measure_request, asked, MeasureKeywords)
    poses = asked.get("poses")
    export = prepare(
        model,
        format=baseline_runtime().formats[0],
        batch=asked.get("batch", 1),
        views=asked.get("views", 1),
        height=asked.get("height", 504),
        width=asked.get("width", 504),
        weights=weights_to_measure(asked.get("weights"), get_model(model)),
        pose_input=asked.get("pose_input", False) or poses is not None,
        preprocess=asked.get("preprocess", False),
        source_size=asked.get("source_size"),
    )
    dynamic = open_dims_of(export.model, asked.get("dynamic", ()), export.shape)
    if export.source_size is not None:
        validate_source(export.source_size, export.shape, dynamic)
    check_memory_fraction(asked.get("memory_fraction"))
    suite = asked.get("suite", "default")
    protocol = asked.get("protocol")
    own = suite if suite in PROTOCOLS else "rigorous"
    chosen = get_protocol(own if protocol is None else protocol)
    boundary = asked.get("boundary", "network")
    known_name("boundary", boundary, TIMED)
    if boundary == "pipeline" and (export.pose_input or export.shape.batch > 1 or dynamic):
        raise UsageError("the boundary pipeline takes photographs of one scene: leave out poses, --batch and --dynamic")
    budget_s, launches, seed, until = asked.get("budget_s"), asked.get("launches"), asked.get("seed"), asked.get("until")
    percent = None if until is None else 100.0 * until
    given = (BUDGET_S, budget_s), (LAUNCHES, launches), (SEED, seed), (UNTIL_PERCENT, percent)
    for bounds, value in ((THREADS, asked.get("threads")), *given):
        bounds.check(value)
    if until is not None and (chosen.order == "sequential" or chosen.untimed or asked.get("regime") is not None):
        raise UsageError("--until ends rounds in which cells take turns; --protocol paper, check and --regime have none")
    budget_s = UNTIL_BUDGET_S if budget_s is None and until is not None else budget_s
    return MeasureRequest(
        export=export,
        protocol=replace(
            chosen,
            boundary=boundary,
            budget_s=chosen.budget_s if budget_s is None else budget_s,
            launches=chosen.launches if launches is None else launches,
            seed=chosen.seed if seed is None else seed,
            target_half_width=chosen.target_half_width if until is None else until,
        ),
        suite=suite,
        filters=asked.get("filters") or Filters(),
        precisions=tuple(asked.get("precisions", ())),
        threads=asked.get("threads"),
        memory_fraction=asked.get("memory_fraction"),
        interpreters=dict(asked.get("interpreters") or {}),
        dynamic=dynamic,
        images=tuple(map(str, asked.get("images", ()))),
        poses=None if poses is None else str(poses),
        regime=asked.get("regime"),
    )


def make_cell(runtime: Runtime, device: Device, mode: Mode, precision: str, request: MeasureRequest) -> CellSpec:
    """One cell of what the user asked for."""
    # The baseline is upstream as its users run it: its own forward at the precision it would choose on that device.
    baseline = mode.name == runtime.baseline_mode and precision == auto_precision(device.name)
    target = runtime.target(device.name, mode, precision)
    return CellSpec(
        export=request.artifact(runtime.formats[0], precision, target, dict(mode.export_options)),
        runtime=runtime.name,
        device=device.name,
        mode=mode.name,
        mode_description=mode.description,
        mode_aliases=mode.aliases,
        off_target=device.off_target,
        baseline=baseline,
        threads=request.threads,
        memory_fraction=request.memory_fraction,
        python=request.interpreters.get(runtime.name),
        numerics_only=device.numerics_only,
        tags=(ALTERNATIVE,) if mode.alternative else (),
    )


def unavailable_cell(runtime: Runtime, device: Device, request: MeasureRequest) -> CellSpec:
    """The row of a device that can't run here, with the reason and the line that would change it."""
    precision = next(iter(_DEPLOYED.get(kind_of(device.name), ("fp32",))))
    reason = device.unavailable or ""
    options = dict(device.modes[0].export_options) if device.modes else {}
    return CellSpec(
        export=request.artifact(runtime.formats[0], precision, options=options),
        runtime=runtime.name,
        device=device.name,
        mode=device.modes[0].name if device.modes else "-",
        unavailable=f"{reason}: {device.remedy}" if device.remedy else reason,
    )


def broken_cell(runtime: str, problem: str, request: MeasureRequest) -> CellSpec:
    """The row of an adapter that can't be probed."""
    return CellSpec(request.artifact("-", "fp32"), runtime, "-", "-", unavailable=problem)


def kind_of(device: str) -> str:
    """`cuda` of `cuda:1`."""
    return device.partition(":")[0]


def deployed_precision(device: Device, mode: Mode) -> str:
    """The precision people deploy on a device, of those that the mode knows."""
    deployed = mode.precisions or _DEPLOYED.get(kind_of(device.name), ("fp32",))
    known = mode.precisions or device.precisions
    return next((p for p in deployed if p in known), auto_precision(device.name))
