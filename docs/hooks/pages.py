"""The site's pages that are not in docs/: those beside the code, one per format and runtime, and the Python interface.

A page beside the code is taken as it is. Links, including those of docs/, are written for readers of the sources; here they
lead to the page of the site, or become plain text if their target is not a page (code, folders). Pictures are copied.
The pages of formats and runtimes are made from their classes.
"""

from __future__ import annotations

import importlib
import inspect
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import depthport
from depthport.exporters.base import Exporter
from depthport.exporters.registry import installed_exporters
from depthport.runtimes.base import Runtime
from depthport.runtimes.registry import installed_runtimes

ROOT = Path(__file__).resolve().parents[2]
GUIDES = {
    "exporters/MODELS.md": "guides/models.md",
    "exporters/INPUTS.md": "guides/inputs.md",
    "exporters/OPTIONS.md": "guides/options.md",
    "exporters/quantization/README.md": "guides/quantization.md",
    "runtimes/APPLE.md": "guides/apple.md",
    "runtimes/PHONES.md": "guides/phones.md",
    "runtimes/TENSORRT.md": "guides/tensorrt.md",
    "runtimes/BROWSER.md": "guides/browser.md",
    "runtimes/PLUGINS.md": "guides/plugins.md",
    "examples/README.md": "guides/examples.md",
    "bench/FLEET.md": "guides/fleet.md",
    "bench/PROTOCOL.md": "protocol.md",
}
PROJECT = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\(([^()\s]+)\)")
ROLE = re.compile(r":(?:attr|class|const|data|exc|func|meth|mod):`~?([\w.]+)`")


def beside_the_code() -> dict[str, str]:
    """Address on the site of every page beside the code, by its path in the project."""
    records = {f"bench/records/{path.name}": f"records/{path.name}" for path in (ROOT / "bench/records").glob("*.md")}
    project = {name: f"project/{name.lower()}" for name in PROJECT}
    return {**GUIDES, **records, **project, "depthport/__init__.py": "api.md", "README.md": "index.md"}


def all_pages() -> dict[str, str]:
    """The same with the pages of docs/."""
    return beside_the_code() | {f"docs/{path.name}": path.name for path in (ROOT / "docs").glob("*.md")}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation: fixed at the top, below it a page for everything installed."""
    guides = [page for page in GUIDES.values() if page.startswith("guides/")]
    records = sorted(page for page in beside_the_code().values() if page.startswith("records/"))
    config.nav = [
        {"Home": "index.md"},
        {"First steps": ["install.md", "commands.md", "json.md", "views.md", "network.md", "cpu.md"]},
        {"Guides": guides},
        {"Formats": [f"formats/{exporter.format}.md" for exporter in installed_exporters()]},
        {"Runtimes": [f"runtimes/{runtime.name}.md" for runtime in installed_runtimes()]},
        {"Protocol": "protocol.md"},
        {"Python": "api.md"},
        {"Glossary": "glossary.md"},
        {"Recorded runs": ["first-report.md", *records]},
        {"Project": [f"project/{name.lower()}" for name in PROJECT]},
    ]
    return config


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """The links of the pages in docs/."""
    if page.file.generated_by is not None:
        return markdown
    return relinked(markdown, f"docs/{page.file.src_uri}", all_pages(), lambda _: None)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every page that is not in docs/."""
    pages = all_pages()
    pictures: set[str] = set()
    for source, address in beside_the_code().items():
        if address in ("api.md", "index.md"):
            continue
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, address, content=relinked(text, source, pages, pictures.add)))
    for picture in sorted(pictures):
        files.append(File.generated(config, f"pictures/{picture}", abs_src_path=str(ROOT / picture)))
    for exporter in installed_exporters():
        files.append(File.generated(config, f"formats/{exporter.format}.md", content="\n".join(format_page(exporter))))
    for runtime in installed_runtimes():
        files.append(File.generated(config, f"runtimes/{runtime.name}.md", content="\n".join(runtime_page(runtime))))
    files.append(File.generated(config, "api.md", content="\n".join(api_page())))
    return files


def relinked(text: str, source: str, pages: dict[str, str], picture: Callable[[str], object]) -> str:
    """`text` of the page `source` with links as they are on the site; `picture` is told of every picture shown."""
    here = posixpath.dirname(pages[source]) or "."

    def link(found: re.Match[str]) -> str:
        mark, label, target = found.groups()
        label = LINK.sub(link, label)
        path, _, anchor = target.partition("#")
        if not path or "://" in target or target.startswith("mailto:"):
            return f"{mark}[{label}]({target})"
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if named in pages:
            return f"[{label}]({posixpath.relpath(pages[named], here)}{'#' if anchor else ''}{anchor})"
        if mark and (ROOT / named).is_file():
            picture(named)
            return f"![{label}]({posixpath.relpath(f'pictures/{named}', here)})"
        return label

    # Code stays as it is; a label may hold a piece of it.
    parts = re.split(r"(^```.*?^```)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if number % 2 else LINK.sub(link, part) for number, part in enumerate(parts))


def format_page(exporter: Exporter) -> Iterator[str]:
    """Page of a format: its module's docstring, its runtimes, its guides."""
    name, module = exporter.format, type(exporter).__module__
    yield f"# {name}\n"
    yield f"{prose(module)}\n"
    yield f"```bash\ndepthport export da3-small --format {name}\n```\n"
    runs = [f"[{r.title or r.name}](../runtimes/{r.name}.md)" for r in installed_runtimes() if name in r.formats]
    yield from facts(
        {
            "Run by": ", ".join(runs) or "no installed runtime",
            "Packages that decide the output": codes(exporter.packages),
            "Default format": "yes" if exporter.default else "",
            "Guides": guides(name),
        }
    )


def runtime_page(runtime: Runtime) -> Iterator[str]:
    """Page of a runtime: its module's docstring and its class's attributes."""
    yield f"# {runtime.title or runtime.name}\n"
    yield f"{prose(type(runtime).__module__)}\n"
    formats = ", ".join(f"[{name}](../formats/{name}.md)" for name in runtime.formats)
    yield from facts(
        {
            "Name": f"`{runtime.name}`",
            "Runs": formats,
            "Licence": runtime.licence or "unknown",
            "Packages": codes(runtime.packages),
            "At most one of these": codes(runtime.builds),
            "Quantized policies": codes(runtime.quantized),
            "Environment variables that matter": codes(runtime.variables),
            "Modes that compile at load": codes(tuple(runtime.compiles or ())),
            "Modes whose operators can be timed": codes(runtime.profiled),
            "Guides": ", ".join(dict.fromkeys(found for name in runtime.formats if (found := guides(name)))),
        }
    )


def prose(module: str) -> str:
    """A module's docstring as Markdown."""
    text = inspect.getdoc(importlib.import_module(module)) or ""
    return ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", text)


def facts(rows: dict[str, str]) -> Iterator[str]:
    """Lines of a table of facts without a head."""
    yield "| | |\n|---|---|"
    yield from (f"| {label} | {text} |" for label, text in rows.items() if text)


def codes(names: tuple[str, ...]) -> str:
    """Names as code, with commas between."""
    return ", ".join(f"`{name}`" for name in names)


def guides(name: str) -> str:
    """Guides whose commands export the format."""
    found = [
        f"[{title(source)}](../{page})"
        for source, page in GUIDES.items()
        if re.search(rf"--format {re.escape(name)}(?![\w-])", (ROOT / source).read_text(encoding="utf-8"))
    ]
    return ", ".join(found)


def title(source: str) -> str:
    """The first heading of a page."""
    heading: Any = re.search(r"^# (.+)$", (ROOT / source).read_text(encoding="utf-8"), re.MULTILINE)
    return str(heading[1])


def api_page() -> Iterator[str]:
    """Every public name, from its docstring."""
    yield "# Python\n"
    yield f"```python\n{example()}\n```\n"
    for name in depthport.__all__:
        yield f"\n## {name}\n\n::: {depthport.__name__}.{depthport._HOME[name]}.{name}\n"


def example() -> str:
    """The lines of the package's own example, without their prompts."""
    lines = re.findall(r"^ *(?:>>>|\.\.\.) ?(.*)$", depthport.__doc__ or "", re.MULTILINE)
    return "\n".join(line.split("  # doctest")[0].rstrip() for line in lines)
