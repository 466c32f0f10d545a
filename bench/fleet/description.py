"""FLEET.toml: what is measured and exported, and by which machines. One table a machine, nothing else names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypedDict

import msgspec
from msgspec import Struct, field

from depthport.bench.plan.request import DEFAULT_MODEL
from depthport.exporters.core import install
from depthport.exporters.core.declared import fault
from depthport.exporters.core.errors import UnavailableError, UsageError, one_line
from depthport.exporters.core.files.atomic import read_bytes
from depthport.exporters.core.files.paths import user_path
from depthport.exporters.core.text import clean_text, quoted

MAX_BYTES = 1 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
"""Name of a machine or a fleet, which becomes a folder's name."""
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):\d{1,5}")
_SHAPE = re.compile(r"(\d{1,4})x(\d{1,5})x(\d{1,5})")


class Conditions(Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions that a machine must meet before anything is measured on it."""

    max_load: float | None = 0.25
    """Most share of the CPUs, or of a GPU's time, that others keep busy, 0 to 1."""
    max_temperature_c: float | None = 85.0
    """Highest temperature of the CPU or a GPU."""
    on_battery: bool = False
    """Measure although a battery supplies the power."""
    wait_s: float = 900.0
    """Time to wait for a machine to meet them; then it is left out, with the reason."""


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files of mutual TLS; a machine's own as paths there, the fleet's relative to the description."""

    ca: str
    cert: str
    key: str


class Ssh(Struct, frozen=True, forbid_unknown_fields=True):
    """SSH access to a machine on which `fleet run` starts Dask's worker; defaults come from `~/.ssh/config`."""

    user: str | None = None
    port: int | None = None
    key: str | None = None
    known_hosts: str | None = None


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[machine.NAME]` table."""

    address: str
    """Host name or IP address: only a worker that connects from there is this machine."""
    python: str = "python"
    """The interpreter on that machine in which depthport is installed."""
    devices: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    """Devices to measure there; empty: all that the machine has."""
    makes: tuple[str, ...] = ()
    """Exports that it makes, as `format` or `format@target`: `coreml@iOS17`."""
    conditions: Conditions | None = None
    """Conditions in place of the fleet's."""
    ssh: Ssh | None = None
    """SSH settings to start the worker there; None: it is started by hand (`depthport fleet join`)."""
    tls: Tls | None = None
    """TLS files of the worker that ssh starts, where their paths differ from those here."""
    labels: tuple[str, ...] = ()
    """Labels of its self-hosted GitHub runner."""
    port: int | None = None
    """Port that its worker listens on, for firewalls; None: any."""


class Bench(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[bench]]` table: what `depthport bench` is asked, for every model and shape."""

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    shapes: tuple[str, ...] = ("1x504x504",)
    """Views × height × width."""
    batch: int = 1
    weights: str | None = None
    images: tuple[str, ...] = ()
    suite: str = "default"
    protocol: str | None = None
    runtimes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()
    pose_input: bool = False
    preprocess: bool = False
    threads: int | None = None
    budget_s: float | None = None
    launches: int | None = None
    seed: int | None = None


class Export(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[export]]` table: artifacts to make, each on the machine whose target it is."""

    formats: tuple[str, ...]
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    shapes: tuple[str, ...] = ("1x504x504",)
    batch: int = 1
    weights: str | None = None
    precisions: tuple[str, ...] = ("fp32",)
    target: str | None = None
    check: bool = True


class Fleet(Struct, frozen=True, forbid_unknown_fields=True):
    """A FLEET.toml, read and checked."""

    name: str
    machine: dict[str, Machine]
    bench: tuple[Bench, ...] = ()
    export: tuple[Export, ...] = ()
    scheduler: str | None = None
    """Address of the scheduler, or where `fleet run` starts it: `tls://HOST:PORT` or, in a network you trust, `tcp://`."""
    tls: Tls | None = None
    conditions: Conditions = field(default_factory=Conditions)
    versions: dict[str, str] = {}
    """Packages that every machine must have, as `onnxruntime = ">=1.30"`."""

    def conditions_of(self, machine: str) -> Conditions:
        return self.machine[machine].conditions or self.conditions


def read_fleet(path: Path) -> Fleet:
    """Read and check a FLEET.toml; nothing in it is run or imported.

    Raises:
        UsageError: it can't be read, or what is wrong in it.
        UnavailableError: the extra `fleet` is not installed.
    """
    try:
        import tomli
    except ImportError:
        raise UnavailableError(f"fleets need their packages: {install.FLEET}") from None

    shown = clean_text(str(path))
    try:
        data = tomli.loads(read_bytes(path, MAX_BYTES).decode())
        fleet = msgspec.convert(data, Fleet)
    except FileNotFoundError:
        raise UsageError(f"{shown} does not exist: name a fleet's TOML file (bench/FLEET.md has one)") from None
    except OSError as error:
        raise UsageError(f"{shown} can't be read ({error.strerror}): name a file that you may read") from None
    except msgspec.ValidationError as error:
        raise UsageError(f"{shown} is not a fleet's description ({fault(error)}): correct it") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{shown} is not a fleet's description ({one_line(error)}): correct it") from None
    if problem := _problem(fleet):
        raise UsageError(f"{shown}: {problem}")
    if fleet.tls is None:
        return fleet
    own = (str(path.parent.absolute() / user_path(file)) for file in (fleet.tls.ca, fleet.tls.cert, fleet.tls.key))
    return msgspec.structs.replace(fleet, tls=Tls(*own))


def shape_of(text: str) -> tuple[int, int, int]:
    """(views, height, width) of `5x504x504`.

    Raises:
        UsageError: it is not a shape.
    """
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise UsageError(f"shape {quoted(text)} is not views x height x width: write 5x504x504, for example")
    return int(found[1]), int(found[2]), int(found[3])


def made_by(fleet: Fleet, format: str, target: str | None) -> tuple[str, ...]:
    """The machines whose export that is."""
    wanted = format if target is None else f"{format}@{target}"
    return tuple(name for name, machine in fleet.machine.items() if wanted in machine.makes)


def _problem(fleet: Fleet) -> str | None:
    for name in (fleet.name, *fleet.machine):
        if NAME.fullmatch(name) is None:
            return f"the name {quoted(name)} is not valid: use letters, digits, - and _, at most 40"
    if not fleet.machine:
        return "it has no machine: add a [machine.NAME] table with an address"
    if not fleet.bench and not fleet.export:
        return "it has no job: add a [[bench]] or an [[export]] table"
    if fleet.scheduler is not None and _ADDRESS.fullmatch(fleet.scheduler) is None:
        return f"scheduler {quoted(fleet.scheduler)} is not an address: write tls://HOST:PORT"
    if (fleet.scheduler or "").startswith("tls:") and fleet.tls is None:
        return "scheduler is tls:// but there is no [tls] table: add one with ca, cert and key"
    if fleet.tls is not None and (fleet.scheduler or "tls:").startswith("tcp:"):
        return "scheduler is tcp:// but there is a [tls] table: write tls://, or remove the table"
    bounds = (fleet.conditions, *(m.conditions for m in fleet.machine.values() if m.conditions))
    if any(c.wait_s < 0 or (c.max_load is not None and not 0 < c.max_load <= 1) for c in bounds):
        return "conditions: wait_s must be at least 0, max_load above 0 and at most 1"
    for table in fleet.export:
        for format in table.formats:
            if not made_by(fleet, format, table.target):
                wanted = format if table.target is None else f"{format}@{table.target}"
                return f"no machine makes {quoted(wanted)}: add it to `makes` of the one whose target it is"
    return None


class Address(TypedDict):
    """Address of a scheduler, as Dask takes it."""

    protocol: str
    host: str
    port: int


def addressed(text: str) -> Address:
    """Scheme, host and port of a scheduler's address, checked.

    Raises:
        UsageError: it is not one.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise UsageError(f"scheduler {quoted(text)} is not an address: write tls://HOST:PORT")
    return {"protocol": found[1], "host": found[2].strip("[]"), "port": int(text.rpartition(":")[2])}
