"""Reports: one view of the merged results, written as Markdown and as one self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthport.bench.report.write import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    # Lazy: `depthport.bench.choice.choose` uses the package's figures, and the page uses `depthport.bench.choice.choose`.
    if name == "write_report":
        from depthport.bench.report.write import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
