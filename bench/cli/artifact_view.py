"""An artifact in words: what it takes, what it gives, what loads it, and the lines that run it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from depthport.exporters.base import Exporter
from depthport.exporters.core.artifact import MANIFEST, Artifact, Manifest, TensorSpec
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import check_output_folder, copy_whole
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.text import mib
from depthport.exporters.registry import default_format, installed_exporter, installed_exporters


def artifact_table(artifact: Artifact) -> Table:
    """Table of an artifact, as `export` and `inspect` print it."""
    manifest = artifact.manifest
    # The name comes from a file: an exporter that is installed, or none.
    exporter = installed_exporter(manifest.format)
    return Table("Artifact", ("", ""), tuple(_rows(manifest, exporter)), align="lf")


def run_lines(artifact: Artifact) -> tuple[str, ...]:
    """Commands that use an artifact, as a POSIX shell takes them."""
    made, folder = artifact.manifest, shlex.quote(str(artifact.path))
    sample = f"depthport sample {folder} --for python"
    if made.shape.batch > 1 and "batch" not in made.dynamic:
        return (sample,)  # several scenes in one call are for programs
    photographs = ["PHOTO"] * (1 if "views" in made.dynamic else made.shape.views)
    poses = " --poses CAMERAS.npz" if any(spec.name == "extrinsics" for spec in made.inputs) else ""
    return (f"depthport predict {folder} {' '.join(photographs)}{poses}", sample)


def main_path(artifact: Artifact) -> Path:
    """Path that a runtime is given: a file, a package, or the whole folder."""
    exporter = installed_exporter(artifact.manifest.format)
    name = exporter.main_file if exporter is not None else None
    return artifact.path / name if name is not None else artifact.path


def show_artifact(artifact: Artifact) -> None:
    """The table on stdout."""
    from rich.console import Console

    from depthport.bench.cli.tables import print_table

    print_table(artifact_table(artifact), Console())


def format_of(format: str | None, out: Path | None) -> str:
    """The format asked for, or the one that a file named by `--out` (`model.onnx`) is of; else the default one.

    Raises:
        UsageError: a file of another format than the one asked for, or of several formats and none is asked for.
    """
    named = {exporter.format for exporter in installed_exporters() if out is not None and _is_file_of(exporter, out)}
    if out is None or not named:
        return format or default_format()
    if format is None and len(named) > 1:
        raise UsageError(f"--out {out.name} may be of format {' or '.join(sorted(named))}: say which with --format")
    if format is not None and format not in named:
        raise UsageError(f"--out {out.name} is a file of format {' or '.join(sorted(named))}, not {format}")
    return format or named.pop()


def check_place(exporter: Exporter, out: Path) -> None:
    """Refuse a place for a copy that can't be written, or a folder that holds other things.

    Raises:
        UsageError, StorageError: as :func:`~depthport.exporters.core.files.atomic.check_output_folder` does.
    """
    check_output_folder(out.parent)
    if out.is_symlink() and not out.exists():
        raise UsageError(f"{out} is a link that leads nowhere: name another --out")
    if not _is_file_of(exporter, out) and out.exists() and not _is_ours(out):
        raise UsageError(f"{out} is there already, and is not a copy of an artifact: name another --out")


def copy_to(artifact: Artifact, exporter: Exporter, out: Path) -> Path:
    """A copy of the artifact's file where `out` names one of its format, else of its whole folder."""
    if _is_file_of(exporter, out):
        exporter.copy_to(artifact, out)
    else:
        copy_whole(artifact.path, out.resolve())
    return out


def _is_ours(out: Path) -> bool:
    """Return whether a folder may be replaced: it is empty, or a copy that was made before."""
    return out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir()))


def _is_file_of(exporter: Exporter, out: Path) -> bool:
    return exporter.main_file is not None and bool(out.suffix) and Path(exporter.main_file).suffix == out.suffix


def _rows(made: Manifest, exporter: Exporter | None) -> Iterator[tuple[str, str]]:
    synthetic = " (random weights: depth values are not valid)" if made.weights.synthetic else ""
    yield "model", made.model
    yield "weights", f"{made.weights.id}{synthetic}, {made.weights.licence}"
    target = made.options.get("target")
    yield "format", f"{made.format}, {made.precision['name']}" + (f", target {target}" if target else "")
    yield "shape", f"{made.shape} (B×N×H×W)" + (f", open: {', '.join(made.dynamic)}" if made.dynamic else "")
    yield from (("input", _tensor(spec)) for spec in made.inputs)
    yield from (("output", _tensor(spec)) for spec in made.outputs)
    yield "preprocessing", _preprocessing(made)
    yield from (("left to the host", f"{step.name}: {step.description}") for step in made.host_steps)
    yield from exporter.declares(made) if exporter is not None else ()
    if made.target:
        yield "made for", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in made.target.items() if value)
    options = ", ".join(f"{k}={v}" for k, v in made.options.items() if v not in (None, [], False) and k != "target")
    yield "options", options or "none"
    yield "size", f"{mib(made.size_bytes)} in {len(made.files)} file{'s' if len(made.files) != 1 else ''}"
    yield "made", " ".join(filter(None, (made.created, _cost(made))))
    yield "by", ", ".join(f"{name} {version}" for name, version in made.versions.items())


def _tensor(spec: TensorSpec) -> str:
    named = f", in the file {spec.native_name!r}" if spec.native_name != spec.name else ""
    return f"{spec.name}  {spec.dtype} ({', '.join(map(str, spec.shape))}){named}"


def _preprocessing(made: Manifest) -> str:
    found = made.preprocessing
    mean, std = ([f"{value:g}" for value in values] for values in (found.get("mean", ()), found.get("std", ())))
    normalised = f"(rgb / 255 - [{', '.join(mean)}]) / [{', '.join(std)}]"
    if found.get("where") != "graph":
        return f"yours: {normalised}, RGB, channels first"
    source = found.get("source_size")
    resize = f"resize of {source[0]}×{source[1]} and " if source else ""
    return f"in the graph: {resize}normalisation; give uint8 RGB, channels last"


def _cost(made: Manifest) -> str:
    parts = [] if made.export_s is None else [f"in {made.export_s:.1f} s"]
    parts += [] if made.export_peak_mib is None else [f"{made.export_peak_mib:.0f} MiB at most"]
    return ", ".join(parts)
