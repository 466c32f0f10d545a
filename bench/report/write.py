"""`write_report`: from results to files on disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from depthport.bench.report.markdown.document import render_markdown
from depthport.bench.report.model.merge import Report, Row, Source, merge
from depthport.bench.report.model.pictures import publish
from depthport.bench.report.model.recommend import Answers, answer
from depthport.bench.report.page.html import render_html
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import check_output_folder, storage_errors, write_together

FORMATS = ("md", "html")


def write_report(
    sources: Sequence[Source], out_dir: Path | str, formats: Sequence[str] = FORMATS, *, own_images: bool = False
) -> list[Path]:
    """Write `report.md` and `report.html` into `out_dir` for one or several results, merged; returns the paths written.

    Args:
        sources: results in memory, as loaded, or paths of results files or of folders that hold one.
        out_dir: made if it does not exist.
        formats: any of :data:`FORMATS`.
        own_images: whether the page may hold photographs that are not the shipped ones.

    Raises:
        UsageError: no source, an unknown format, or a file that can't be read as results.
        StorageError: `out_dir` can't be written to.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UsageError(f"unknown report format {unknown[0]!r}: choose from {', '.join(FORMATS)}")
    folder = Path(out_dir)
    names = [f"report.{name}" for name in dict.fromkeys(formats)]
    check_output_folder(folder, names)
    report = merge(sources)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    answers = answer(report)
    pages = {
        folder / f"report.{name}": _rendered(name, report, answers, folder, own_images).encode()
        for name in dict.fromkeys(formats)
    }
    try:
        write_together(pages)
    finally:
        with suppress(OSError):
            folder.rmdir()  # where nothing could be written, and nothing was
    return list(pages)


def _rendered(name: str, report: Report, answers: Answers, folder: Path, own_images: bool) -> str:
    if name == "html":
        return render_html(report, answers, own_images=own_images)

    def picture(row: Row, kind: str) -> str | None:
        return publish(row.run, row.cell.pictures.get(kind), folder)

    return render_markdown(report, answers, picture)
