"""The words that an argument or option takes.

They are listed in its help, completed by the shell, and checked before anything is imported for the work itself. Names that
plug-ins add are read when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer


@dataclass(frozen=True)
class Words:
    """One kind of word."""

    what: str
    """Kind of name, for messages: `runtime`."""
    known: Callable[[], Iterable[str]]
    shown: str | None = None
    """Placeholder of a word in help; None: `what` in capitals."""
    takes_more: Callable[[str], bool] = lambda _: False
    """Words beside the known ones, which whoever uses them checks: `package.module:Class`, a path."""

    by_metavar: ClassVar[dict[str, Words]] = {}
    """Kinds that are in use, by what help has in the place of a word."""

    @property
    def metavar(self) -> str:
        return self.shown or self.what.upper()

    def check(self, word: str) -> str:
        """The word, if it is one.

        Raises:
            UsageError: it is not; the message names the nearest one that is.
        """
        if self.takes_more(word):
            return word
        from depthport.exporters.core.asked import known_name

        return known_name(self.what, word, self.known())

    def complete(self, incomplete: str) -> list[str]:
        """Return a shell's completions of a word."""
        return [name for name in self.known() if name.startswith(incomplete)]

    def option(self, *flags: str, help: str, panel: str) -> Any:
        """An option that takes such a word."""
        return typer.Option(*flags, help=help, rich_help_panel=panel, **self._declared())

    def argument(self, help: str) -> Any:
        """An argument that is such a word."""
        return typer.Argument(help=help, **self._declared())

    def _declared(self) -> dict[str, Any]:
        self.by_metavar[self.metavar] = self
        return {"metavar": self.metavar, "parser": self.check, "autocompletion": self.complete}


def _late(where: str) -> Callable[[], Iterable[str]]:
    """The names that `module:attribute` holds, or gives when called; imported when somebody asks for them."""

    def known() -> Iterable[str]:
        module, _, attribute = where.partition(":")
        found = getattr(import_module(f"depthport.{module}"), attribute)
        return tuple(found() if callable(found) else found)

    return known


def _is_seed_name(word: str) -> bool:
    from depthport.exporters.core.precision import policy_name

    return policy_name(word) != word


def _is_class(word: str) -> bool:
    return ":" in word


def _anything(_: str) -> bool:
    return True


MODEL = Words("model", _late("exporters.da3.models:MODELS"), takes_more=_anything)
FORMAT = Words("format", _late("exporters.registry:formats"), takes_more=_is_class)
RUNTIME = Words("runtime", _late("runtimes.registry:runtimes"), takes_more=_is_class)
PRECISION = Words("precision", _late("exporters.core.precision:precisions"), takes_more=_is_seed_name)
TARGET = Words("target", _late("exporters.registry:targets"), takes_more=_anything)
SUITE = Words("suite", _late("bench.plan.suites:SUITES"))
PROTOCOL = Words("protocol", _late("bench.plan.protocol:PROTOCOLS"))
TIMED = Words("boundary", _late("bench.plan.protocol:TIMED"), "SPAN")
BOUNDARY = Words("boundary", _late("bench.results.model:BOUNDARIES"))
REGIME = Words("regime", _late("bench.plan.regime:NAMED"))
GOAL = Words("goal", _late("bench.choice.choice:GOALS"))
SAMPLE = Words("sample", _late("predict.sample:SAMPLES"), "KIND")
ENGINE = Words("format of check", _late("exporters.tensorrt.platform:PACKAGES"), "ENGINE")
