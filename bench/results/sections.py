"""Sections of `results.json` beside its figures: the machine and what it did meanwhile, protocol, inputs and weights.

Every field is optional: files come from other versions, and a damaged field costs no other (bench/results/tolerant.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, TypedDict

from depthport.exporters.core.tensors import Preprocessing

Parity: TypeAlias = Mapping[str, Mapping[str, float | bool | None] | int]
"""Figures by output; `inputs`: how many inputs they are the worst of."""
Scalar: TypeAlias = str | bool | float | None
Accuracy: TypeAlias = dict[str, Scalar | dict[str, Scalar]]
"""{scene, abs_rel, rmse, delta1, ..., meaningless} of the timed scene, and under the name of each rendered one the same."""


class CpuSection(TypedDict, total=False):
    """As :class:`depthport.runtimes.host.cpu.Cpu` has it."""

    model: str | None
    microarchitecture: str | None
    features: list[str]
    logical_cores: int | None
    available_cores: int | None
    """Of older files: what affinity alone leaves."""
    usable_cores: int
    quota_cores: float | None
    governor: str | None


class MemorySection(TypedDict, total=False):
    """Host memory, in MiB."""

    total_mib: float
    usable_mib: float
    """The part that control groups leave."""


class GpuSection(TypedDict, total=False):
    """One accelerator."""

    kind: str
    """`gpu` where nothing is said."""
    name: str
    driver: str | None
    compute_capability: str | None
    memory_mib: float | None
    power_limit_w: float | None
    mig: bool


class SystemSection(TypedDict, total=False):
    """Operating system."""

    os: str
    release: str | None
    distribution: str | None
    architecture: str
    libc: str | None
    virtual_machine: bool | None


class PowerSection(TypedDict, total=False):
    """Power supply and power mode."""

    source: str | None
    """`battery`, `mains`, or None where there is no battery to ask."""
    low_power_mode: bool | None


class PythonSection(TypedDict, total=False):
    """Python that ran it."""

    version: str
    implementation: str


class Environment(TypedDict, total=False):
    """Hardware and versions; no host name, user name or path."""

    machine: str
    """A name for people."""
    cpu: CpuSection
    memory: MemorySection
    gpus: list[GpuSection]
    system: SystemSection
    power: PowerSection
    python: PythonSection
    packages: dict[str, str]
    """Version by distribution."""
    variables: dict[str, str]
    """Those that are set and steer threads, allocators and math modes."""


class RegimeSection(TypedDict, total=False):
    """Regime of a run: what a cell is asked to do over time."""

    kind: str
    """`burst`, `sustained` or `fixed-rate`."""
    seconds: float
    rate_hz: float | None


class AskedSection(TypedDict, total=False):
    """A run's request for its artifacts beyond model, shape and weights."""

    pose_input: bool
    preprocess: bool
    source_size: tuple[int, int] | None
    dynamic: list[str]


class ProtocolSection(TypedDict, total=False):
    """Parameters of :class:`depthport.bench.plan.protocol.Protocol`, and what was asked for beside them."""

    name: str
    seed: int
    boundary: str
    launches: int | None
    min_rounds: int
    max_rounds: int
    budget_s: float
    target_half_width: float
    inputs: int
    ground_truth_scenes: int
    truth_scenes: int
    """Of older files, as `ground_truth_scenes`."""
    order: str
    margin: float
    controls: bool
    warmup_calls: int
    warmup_budget_s: float
    overhead_target: float
    timed_calls: int | None
    load_timeout_s: float
    call_timeout_s: float
    export_timeout_s: float
    limit_s: float | None
    untimed: bool
    logs: bool
    threads: int | None
    """Of older files."""
    regime: RegimeSection
    suite: str | None
    asked: AskedSection
    yardstick: Parity | None
    """Upstream's own rounding: its fp32 outputs against its fp64 ones."""


class InputsSection(TypedDict, total=False):
    """Inputs of the run."""

    name: str
    scenes: list[str]
    rotated: int
    sha256: list[str]
    ground_truth: bool
    calibrated: list[list[bool]]
    notes: list[str]
    truth: list[str]
    picture: str | None
    """Path of a picture of the views, beside results.json."""


class WeightsSection(TypedDict, total=False):
    """Of one model."""

    id: str
    sha256: str
    synthetic: bool
    licence: str
    note: str | None


class ArtifactSection(TypedDict, total=False):
    """Artifact that a cell ran."""

    key: str
    size_bytes: int
    versions: dict[str, str]
    target: dict[str, object]
    options: dict[str, object]
    """The format's own."""
    dynamic: list[str]
    inputs: list[str]
    preprocessing: Preprocessing
    export_peak_mib: float | None
    neural_engine: dict[str, object]
    """Core ML: what the Neural Engine is predicted to refuse (exporters/coreml/mil/ane.py)."""


class GpuReading(TypedDict, total=False):
    """One device around a timed block; None where it does not tell."""

    index: int
    name: str | None
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    temperature_c: float | None
    average_power_w: float | None
    power_w: float | None
    throttle_reasons: list[str] | None
    power_throttled_share: float | None
    thermal_throttled_share: float | None
    memory_used_mib: float | None
    utilization_percent: float | None
    other_processes: int | None
    other_processes_memory_mib: float | None
    other_compute_processes: int | None
    other_compute_memory_mib: float | None


class Reading(TypedDict, total=False):
    """Activity of the machine around a timed block (bench/environment/telemetry.py); None where it does not tell."""

    wall_s: float
    cpu_mhz: float | None
    cpu_temperature_c: float | None
    cpu_throttle_events: int | None
    quota_throttled_share: float | None
    foreign_cpu_share: float | None
    steal_cpu_share: float | None
    parked_cpu_share: float | None
    active_cpu_share: float | None
    load_average: float | None
    memory_available_mib: float | None
    active_rss_mib: float | None
    on_battery: bool | None
    low_power_mode: bool | None
    thermal_pressure: str | None
    cpu_speed_limit_percent: float | None
    gpus: list[GpuReading] | None
    unreadable: dict[str, str]
    """Sources that failed, with their error; there only if one did."""


Spread: TypeAlias = dict[str, int | float | str]
"""{median, min, max} of a figure, or in how many blocks each word of a name was said."""
DeviceTelemetry: TypeAlias = dict[str, int | float | str | Spread | None]
Telemetry: TypeAlias = dict[str, int | float | Spread | list[DeviceTelemetry]]
"""Many readings in one (bench/environment/telemetry_summary.py)."""
