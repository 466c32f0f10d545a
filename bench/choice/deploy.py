"""From a pick to the thing that is deployed: its file in a store, and the command that exports it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from depthport.bench.choice.reproduce import input_arguments, mode_options, model_word
from depthport.bench.results.model import Cell
from depthport.bench.results.sections import AskedSection
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.store import ArtifactStore


def export_command(cell: Cell) -> str:
    """`depthport export ...` that makes the cell's artifact again, as one line for a POSIX shell."""
    target = (cell.artifact or {}).get("options", {}).get("target")
    words = ["depthport", "export", model_word(cell), f"--format={cell.format}", f"--precision={cell.precision}"]
    words += [f"--views={cell.views}", f"--size={cell.height}x{cell.width}"]
    words += [f"--batch={cell.batch}"] if cell.batch != 1 else []
    words += [f"--target={target}"] if isinstance(target, str) else []
    words += _input_words(input_arguments(cell))
    words += [f"--option={name}={_as_typed(value)}" for name, value in mode_options(cell).items()]
    return shlex.join([*words, f"--weights={cell.weights}"])


def stored_artifact(cell: Cell, store: ArtifactStore) -> Artifact | None:
    """The cell's artifact, if the store has it."""
    key = (cell.artifact or {}).get("key")
    return next((artifact for artifact in store.artifacts() if artifact.manifest.key == key), None)


def _input_words(asked: AskedSection) -> list[str]:
    size, dynamic = asked["source_size"], asked["dynamic"]
    words = [f"--dynamic={','.join(dynamic)}"] if dynamic else []
    words += ["--pose-input"] if asked["pose_input"] else []
    if size is not None:
        return [*words, f"--source-size={size[0]}x{size[1]}"]
    return [*words, "--preprocess"] if asked["preprocess"] else words


def _as_typed(value: object) -> str:
    """An option's value as `--option name=value` reads it."""
    if isinstance(value, str):
        return value
    return ",".join(map(str, value)) if isinstance(value, Sequence) else json.dumps(value)
