"""A command as this program shows it.

Options in panels, the words that options take listed, examples as a block, and the two switches that every command has.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Literal, get_type_hints

import typer
from typer.core import TyperCommand

from depthport.bench.cli.words import Words

PANELS = ("Model", "Inputs", "What to measure", "Constraints", "Output", "Expert")
"""Of options, in the order in which help shows them."""
MODEL, INPUTS, MEASURED, CONSTRAINTS, OUTPUT, EXPERT = PANELS
_EXAMPLES = "Examples:\n"

Verbosity = Literal["quiet", "usual", "verbose"]
VERBOSITY: ContextVar[Verbosity] = ContextVar("verbosity", default="usual")
"""Amount of output on stderr."""

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress: warnings, errors and the answer alone.", rich_help_panel=OUTPUT)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Every step, and where an error was raised.", rich_help_panel=OUTPUT)
]


class Command(TyperCommand):
    """Reads its help from a docstring that may end with `Examples:`, a command line each."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.help, _, examples = (self.help or "").partition(_EXAMPLES)
        self.examples = [line.strip() for line in examples.splitlines() if line.strip()]
        self._described: list[tuple[Any, str]] = [(param, getattr(param, "help", None) or "") for param in self.params]
        # Panels appear in the order of the first option that each has.
        self.params.sort(key=lambda param: _rank(getattr(param, "rich_help_panel", None)))

    def format_help(self, *arguments: Any, **settings: Any) -> None:
        """Complete what only help needs, and write it."""
        for param, text in self._described:
            words = Words.by_metavar.get(str(param.metavar))
            if words is not None:
                param.help = f"{text}. One of: {', '.join(words.known())}."
        blocks = ["\n".join(["[bold]Examples[/bold]", *self.examples])] if self.examples else []
        self.epilog = "\n\n".join([*blocks, *self.more_help()])
        super().format_help(*arguments, **settings)

    def more_help(self) -> list[str]:
        """Paragraphs at the end of the help."""
        return []


def _rank(panel: str | None) -> int:
    return PANELS.index(panel) if panel in PANELS else 0


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The same command with `--quiet` and `--verbose`."""

    @wraps(function)
    def wrapped(*, quiet: bool, verbose: bool, **values: object) -> None:
        VERBOSITY.set("quiet" if quiet else "verbose" if verbose else "usual")
        function(**values)

    switches = {"quiet": Quiet, "verbose": Verbose}
    parameters = [
        *signature(function).parameters.values(),
        *(Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=hint) for name, hint in switches.items()),
    ]
    wrapped.__annotations__ = {**get_type_hints(function, include_extras=True), **switches}
    wrapped.__signature__ = Signature(  # type: ignore[attr-defined]
        [parameter.replace(annotation=wrapped.__annotations__[parameter.name]) for parameter in parameters]
    )
    return wrapped
