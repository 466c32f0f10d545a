"""The page of all options, made from their types: `python -m depthport.exporters.options_page` writes OPTIONS.md."""

from __future__ import annotations

from pathlib import Path

from depthport.exporters.base import Exporter
from depthport.exporters.core.options import Options, option_rows
from depthport.exporters.registry import installed_exporters

PAGE = "exporters/OPTIONS.md"
_INTRO = """# Options of the formats

`depthport export MODEL --format FORMAT --option NAME=VALUE`, `depthport.export(..., options={NAME: VALUE})`. What is not
named here is an option of every format: `depthport export --help`. Made by `python -m depthport.exporters.options_page`.
"""


def page() -> str:
    """The Markdown of the options of every installed format."""
    return "\n".join([_INTRO, *(section for exporter in _own() if (section := _section(exporter)))])


def summary() -> str:
    """Every option with what it takes, a paragraph for each of their types, for a terminal."""
    formats: dict[type[Options], list[str]] = {}
    for exporter in sorted(installed_exporters(), key=lambda exporter: exporter.format):
        for kind in exporter.takes:
            formats.setdefault(kind, []).append(exporter.format)
    paragraphs = ["--option of each format (meaning and defaults: exporters/OPTIONS.md)"]
    for kind, names in formats.items():
        place = f"{', '.join(names)}{f' in {kind.where}' if kind.where else ''}"
        paragraphs.append(f"{place}: {'; '.join(f'{name} is {values}' for name, values, *_ in option_rows(kind))}")
    return "\n\n".join(paragraphs)


def _own() -> list[Exporter]:
    found = [exporter for exporter in installed_exporters() if type(exporter).__module__.startswith("depthport.")]
    return sorted(found, key=lambda exporter: exporter.format)


def _section(exporter: Exporter) -> str:
    return "\n".join(_table(f"`{exporter.format}`", kind) for kind in exporter.takes)


def _table(format: str, kind: type[Options]) -> str:
    rows = [
        f"| `{name}` | {values} | {f'`{default}`' if default else ''} | {meaning} |"
        for name, values, default, meaning in option_rows(kind)
    ]
    title = f"## {format}{f', {kind.where}' if kind.where else ''}\n"
    return "\n".join([title, "| option | takes | default | meaning |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    Path(__file__).with_name(Path(PAGE).name).write_text(page(), encoding="utf-8")
