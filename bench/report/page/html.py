"""The report as one HTML page that needs nothing else: no network, no second file, no trust in what it shows.

Style, script, font and libraries (bench/report/assets) are put into the template as they are; the data goes in as JSON
in which no character can end its element. The page's policy (CSP) allows scripts by the hash of these four only, no
request to anywhere, and no inline handler: a hostile name in a results file can't run even if it were inserted wrongly.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from depthport.bench.report.model.merge import Report
from depthport.bench.report.model.recommend import Answers
from depthport.bench.report.page.answer import answer_section
from depthport.bench.report.page.payload import PAGE_BYTES, payload

ASSETS = Path(__file__).parent / "assets"
STYLES = ("base.css", "parts.css", "print.css")


def render_html(report: Report, answers: Answers, *, own_images: bool = False) -> str:
    """The whole page. Below 5 MB unless the tables alone are larger (thousands of cells)."""
    frame = _frame()
    answer = answer_section(report, answers)
    data = safe_json(payload(report, answers, PAGE_BYTES - frame.nbytes - len(answer.encode()), own_images=own_images))
    own = {"TITLE": html.escape(title(report), quote=True), "ANSWER": answer, "DATA": data}
    return fill(frame.template, {**frame.parts, **own})


_PLACE = re.compile(r"@([A-Z][A-Z0-9_]*)@")


def fill(template: str, parts: Mapping[str, str]) -> str:
    """The template with `@NAME@` replaced by its part, in one pass: parts are never searched for names.

    Raises:
        KeyError: a place that no part is for.
    """
    return _PLACE.sub(lambda place: parts[place[1]], template)


def title(report: Report) -> str:
    """`Depth Anything 3 on NVIDIA H100 and 1 more: benchmark report`."""
    names = [machine.name for machine in report.machines]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"Depth Anything 3 on {names[0][:80]}{more}: benchmark report"


def safe_json(data: object) -> str:
    """JSON that can stand in a script element: ASCII only, and `<`, `>` and `&` escaped.

    So it holds no `</script>`, no `<!--`, no U+2028, whatever its strings are.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Frame:
    """The page's template, and the parts that are the same in every page."""

    def __init__(self) -> None:
        scripts = {
            "VENDOR_D3": _text("vendor/d3.min.js"),
            "VENDOR_PLOT": _text("vendor/plot.umd.min.js"),
            "SCRIPT": "\n".join(_text(f"page/{path.name}") for path in sorted((ASSETS / "page").glob("*.js"))),
        }
        font = base64.b64encode((ASSETS / "vendor" / "inter-latin-wght-normal.woff2").read_bytes())
        style = "\n".join(_text(f"page/{name}") for name in STYLES)
        self.template = _text("page/page.html")
        self.parts = {
            **scripts,
            "CSP": _policy(list(scripts.values())),
            "STYLE": fill(style, {"FONT": font.decode("ascii")}),
        }
        self.nbytes = sum(len(text.encode("utf-8")) for text in (self.template, *self.parts.values()))


@lru_cache(maxsize=1)
def _frame() -> _Frame:
    return _Frame()


def _text(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _policy(scripts: list[str]) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
