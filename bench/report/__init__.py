"""Reports: one view of the merged results, written as Markdown and as one self-contained HTML page."""
