"""Parts that commands share: option types, and the parsing of what people type. Imports nothing heavy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from depthport.bench.cli import words
from depthport.bench.cli.command import EXPERT, INPUTS, MODEL, OUTPUT
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.text import clean_text

if TYPE_CHECKING:
    from rich.console import Console

ModelName = Annotated[str, words.MODEL.argument("A model, or the path of a configuration of your own")]
Views = Annotated[
    int, typer.Option("--views", "-n", help="Views N of one scene: they go in together.", rich_help_panel=INPUTS)
]
Batch = Annotated[int, typer.Option("--batch", "-b", help="Scenes B in one call (not views).", rich_help_panel=INPUTS)]
Size = Annotated[str, typer.Option("--size", "-s", help="HxW in pixels, multiples of 14.", rich_help_panel=INPUTS)]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        help="Hugging Face id, local file or folder, or synthetic:SEED[,outliers]. Default: the model's checkpoint,"
        " cached or downloaded; without it only what measures goes on, with synthetic ones, and says so.",
        rich_help_panel=MODEL,
    ),
]
Images = Annotated[
    list[Path] | None, typer.Option("--images", help="Your own photographs, one per view.", rich_help_panel=INPUTS)
]
PoseInput = Annotated[
    bool, typer.Option("--pose-input", help="Take known extrinsics and intrinsics as inputs.", rich_help_panel=INPUTS)
]
Preprocess = Annotated[
    bool,
    typer.Option(
        "--preprocess", help="Take uint8 images (B, N, H, W, 3) and normalise them in the graph.", rich_help_panel=INPUTS
    ),
]
SourceSize = Annotated[
    str | None,
    typer.Option(
        "--source-size",
        help="HxW of the photographs: the graph resizes them too. Implies --preprocess.",
        rich_help_panel=INPUTS,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout, for machines (docs/json.md).", rich_help_panel=OUTPUT)
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--artifacts", help="Artifact store. Default: $DEPTHPORT_ARTIFACTS or ./artifacts.", rich_help_panel=OUTPUT
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", help="CPU threads. Default: what the cgroup allows.", rich_help_panel=EXPERT)
]
OldModel = Annotated[str | None, typer.Option("--model", "-m", hidden=True, help="Old name of the first argument.")]

T = TypeVar("T")


def options_of(declared: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Makes a command of a function that takes one dataclass, whose fields are the command's options.

    So commands that share options share their declaration, and hand them on as one value.
    """

    def decorate(function: Callable[[T], None]) -> Callable[..., None]:
        @wraps(function)
        def command(**values: object) -> None:
            function(declared(**values))

        command.__annotations__ = get_type_hints(declared, include_extras=True)
        command.__signature__ = Signature(  # type: ignore[attr-defined]
            [
                Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hint)
                for field in fields(declared)  # type: ignore[arg-type]
                if (hint := command.__annotations__[field.name])
            ]
        )
        return command

    return decorate


_DIGITS = 9
"""Most digits of a size; Python refuses to parse numbers of thousands of digits."""


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """`504x504` or `504` as (height, width).

    Raises:
        UsageError: it is neither.
    """
    parts = text.lower().split("x")
    if len(parts) == 1:
        parts *= 2
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and len(p) <= _DIGITS for p in parts):
        raise UsageError(f"{option} {text!r} is not a size: give HxW in pixels, for example 504x504")
    return int(parts[0]), int(parts[1])


def parse_percent(text: str | None, option: str) -> float | None:
    """`5%` or `5` as 0.05; None: not given.

    Raises:
        UsageError: it is not a number.
    """
    if text is None:
        return None
    try:
        return float(text.strip().removesuffix("%")) / 100.0
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a percentage: give for example 5%") from None


def parse_shape(size: str, batch: int, views: int) -> tuple[int, int]:
    """The (height, width) of an input that can exist here: counted before anything heavy is imported.

    Raises:
        UsageError: not a size, not a shape that models take, or more than this machine's memory holds.
    """
    from depthport.exporters.da3.shapes import validate_shape

    height, width = parse_size(size)
    validate_shape(batch, views, height, width)
    return height, width


def model_of(first: str, old: str | None) -> str:
    """The model that a command line names, as its first argument or by the option that was used for it before."""
    if old is None:
        return first
    old_name("--model", f"the first argument ({old})")
    return old


def old_name(old: str, new: str) -> None:
    """Say on stderr that a name which still works has another one now."""
    stderr(f"warning: {old} is an old name of {new}, and goes with version 1")


def parse_options(pairs: list[str]) -> dict[str, object]:
    """`name=value` pairs as a dictionary; values that are JSON (true, 3, 0.5) become what they are.

    Raises:
        UsageError: a pair has no `=`.
    """
    options: dict[str, object] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--option {pair!r} is not an option: give name=value")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


def parse_interpreters(pairs: list[str]) -> dict[str, str]:
    """`runtime=/path/to/python` pairs as a dictionary.

    Raises:
        UsageError: a pair has no `=` or its interpreter does not exist.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, separator, python = pair.partition("=")
        if not separator or shutil.which(python) is None:
            raise UsageError(f"--interpreter {pair!r}: give RUNTIME=PYTHON with a Python that can be started")
        found[name] = python
    return found


def spread(arguments: list[str], option: str) -> list[str]:
    """`--images a b c` as `--images a --images b --images c`: what people type, in the form typer takes.

    Raises:
        UsageError: nothing follows the option, which a shell's empty pattern or variable does.
    """
    spread_out: list[str] = []
    named = None
    for argument in [*arguments, "--"]:
        if argument.startswith("-") and argument != "-":
            if named == 0:
                raise UsageError(f"{option} names no file: give at least one, or leave it out for the shipped photographs")
            named = 0 if argument == option else None
            if named is None:
                spread_out.append(argument)
        elif named is not None:
            named += 1
            spread_out += [option, argument]
        else:
            spread_out.append(argument)
    return spread_out[:-1]


def refuse_empty(arguments: list[str]) -> None:
    """Raise UsageError for an argument that is empty, as an unset variable of a script is: it would count as not given."""
    for before, argument in zip(["the command", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        if not argument.strip() or (option.startswith("--") and equals and not value.strip()):
            name = option if equals else before
            raise UsageError(f"what follows {name} is empty: give a value, or leave {name} out")


def names(text: str | None, option: str) -> list[str] | None:
    """Split a comma-separated list; None stays None."""
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UsageError(f"{option} {text!r} names nothing: give names with commas between, or leave {option} out")
    return found


def print_json(kind: str, data: Mapping[str, object]) -> None:
    """Print an answer for machines on stdout: an object whose `schema` names its kind and version (docs/json.md).

    Args:
        kind: mostly the command's name.
        data: JSON types; its own `schema` is kept.

    Raises:
        ValueError: it holds NaN or infinity.
    """
    typer.echo(json.dumps({"schema": f"depthport.{kind}/1", **data}, indent=1, allow_nan=False))


def show(kind: str, found: Any, as_json: bool, render: Callable[[Any, Console], None]) -> None:
    """A finding on stdout: as JSON of that kind for machines, else as `render` draws it."""
    if as_json:
        print_json(kind, found.to_json())
    else:
        from rich.console import Console

        render(found, Console())


def stdout(text: object) -> None:
    """A line for people, without what could harm their terminal."""
    typer.echo(clean_text(str(text)))


def stderr(text: object) -> None:
    """The same on stderr, which a pipe does not take."""
    typer.echo(clean_text(str(text)), err=True)
