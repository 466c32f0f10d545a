"""Bad input to every command, made from the commands' own declarations: each parameter, by its type, in each bad form.

A parameter that is added is tried without a line here.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typer import Typer
from typer.models import ArgumentInfo

from depthport.bench.cli.app import app
from tests.support.corpus.files import Good, bad_files, bad_folders, good_files

SMALL = ["--size", "28x28", "--weights", "synthetic:0"]
OUTPUTS = ("out", "artifacts")
"""Parameters that name where to write."""
NUMBERS = {
    int: ("x", "1.5", "nan", "1e3", "0x10", "-99999999999999999999", "9" * 400, "9" * 5000, ""),
    float: ("x", "nan", "inf", "-inf", "1e999", "1,5", "-1", ""),
}
WORDS = ("nope", "os:system", ":", "x" * 5000, "\x1b[31m\u202e", "../../etc/passwd", "", " ")
FREE = {"cell": ("reproduce",), "licence": ("choose",), "device": ("choose",), "runtime": ("choose",)}
"""Words that are compared with what a file holds: anything may be asked for, and nothing found is no bad input."""


@dataclass(frozen=True)
class Case:
    """A command line that must be refused."""

    kind: str
    arguments: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.arguments[0]} {self.kind}"


@dataclass(frozen=True)
class Parameter:
    """One of a command's, as it is declared."""

    name: str
    type: Any
    argument: bool
    several: bool

    @property
    def option(self) -> str:
        return f"--{self.name.strip('_').replace('_', '-')}"


def commands(of: Typer = app) -> dict[str, list[Parameter]]:
    """Every command's parameters but its switches; old names, which warn first, are left out."""
    found = {}
    for command in of.registered_commands:
        if command.hidden:
            continue
        function = command.callback
        assert function is not None
        hints = get_type_hints(function, include_extras=True)
        shown = [name for name in inspect.signature(function).parameters if not hints[name].__metadata__[0].hidden]
        parameters = [_parameter(name, hints[name]) for name in shown]
        found[command.name or function.__name__] = [p for p in parameters if p.type is not bool]
    return found


def groups() -> dict[tuple[str, str], list[Parameter]]:
    """The same of commands in groups, by group and command."""
    found: dict[tuple[str, str], list[Parameter]] = {}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        name = str(group.typer_instance.info.name)
        found |= {(name, command): parameters for command, parameters in commands(group.typer_instance).items()}
    return found


def _parameter(name: str, hint: Any) -> Parameter:
    assert get_origin(hint) is Annotated, f"{name} is declared without a help text"
    declared, info = get_args(hint)[:2]
    if get_origin(declared) in (Union, types.UnionType):
        declared = next(kind for kind in get_args(declared) if kind is not type(None))
    several = get_origin(declared) is list
    return Parameter(name, get_args(declared)[0] if several else declared, isinstance(info, ArgumentInfo), several)


def base(command: str, good: Good) -> dict[str, list[str]]:
    """What a command needs, by parameter, so that it is the one bad value that is refused."""
    small = {"size": ["--size", "28x28"], "weights": ["--weights", "synthetic:0"]}
    run = small | {"views": ["--views", "1"], "budget": ["--budget", "1"], "images": ["--images", str(good.photograph)]}
    quick = {"suite": ["--suite", "quick"], "protocol": ["--protocol", "quick"], "runtime": ["--runtime", "onnxruntime"]}
    needs: dict[str, dict[str, list[str]]] = {
        "doctor": {},
        "run": run,
        "bench": run | quick,
        "export": {"model": ["da3-small"], "format": ["--format", "onnx"], **small},
        "predict": {"source": ["da3-small"], "photographs": [str(good.photograph)], "weights": small["weights"]},
        "check": {"model": ["da3-small"], **small},
        "inspect": {"path": [str(good.artifact)]},
        "list": {},
        "sample": {"artifact": [str(good.artifact)], "kind": ["--for", "python"]},
        "profile": {"model": ["da3-small"], **small},
        "max-batch": {"model": ["da3-small"], **small},
        "report": {"sources": [str(good.results)], "out": ["--out", "report"]},
        "compare": {"before": [str(good.results)], "after": [str(good.results)]},
        "choose": {"source": [str(good.results)]},
        "reproduce": {"source": [str(good.results)], "cell": ["x"]},
    }
    return needs[command]


def cases(folder: Path) -> list[Case]:
    """All of them, on files made in `folder`."""
    good, files = good_files(folder / "good"), bad_files(folder / "bad")
    folders = bad_folders(files)
    found = []
    for command, parameters in commands().items():
        needed = base(command, good)
        found.append(Case("an option that there is not", (command, *_flat(needed), "--nope")))
        for parameter in parameters:
            for kind, value in _bad(command, parameter, files, folders):
                given = needed | {parameter.name: _given(parameter, value)}
                found.append(Case(f"{parameter.name}: {kind}", (command, *_flat(given))))
    for (group, command), parameters in groups().items():
        # What a group's command reads comes first, and is all that it needs to be refused.
        first, *others = [parameter for parameter in parameters if parameter.argument]
        for kind, path in files.items():
            found.append(Case(f"{command} {first.name}: {kind}", (group, command, str(path), *("x" for _ in others))))
    return found


def _flat(given: dict[str, list[str]]) -> list[str]:
    """Options first: what follows `--images` is taken for files."""
    options = [word for words in given.values() if words[0].startswith("--") for word in words]
    return [*options, *(word for words in given.values() if not words[0].startswith("--") for word in words)]


def _given(parameter: Parameter, value: str) -> list[str]:
    if parameter.argument:
        return [value]
    return [f"{parameter.option}={value}"] if value[:1] in ("-", "") else [parameter.option, value]


def _bad(command: str, parameter: Parameter, files: dict[str, Path], folders: dict[str, Path]) -> Iterator[tuple[str, str]]:
    if parameter.type is Path:
        for kind, path in (folders if parameter.name in OUTPUTS else files).items():
            # A store may be there to be read: that it can't be written is known when it is.
            store = parameter.name == "artifacts"
            # A store that holds nothing is an empty one.
            empty = command == "list" and kind in ("a folder in a folder", "a folder of nothing")
            if not empty and (not store or kind != "a file system of the system's"):
                yield kind, str(path)
    elif parameter.type in NUMBERS:
        for value in NUMBERS[parameter.type]:
            yield repr(value[:30]), value
    elif command not in FREE.get(parameter.name, ()):
        for word in WORDS:
            yield repr(word[:30]), word
