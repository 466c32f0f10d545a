"""Reports: one view of the merged results, written as Markdown and as one self-contained HTML page."""

from bench.report.write import write_report

__all__ = ["write_report"]
