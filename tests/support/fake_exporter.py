"""An exporter of artifacts that the fake runtimes run: slow enough to be killed while it writes, no framework."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

from depthport.exporters.base import ExportContext, Exporter, ExportResult
from depthport.exporters.da3.request import ExportRequest
from tests.support.fake_runtime import MAGIC, MODEL_FILE, Fake

FORMAT = "tests.support.fake_exporter:FakeExporter"
SLOW_FORMAT = "tests.support.fake_exporter:SlowExporter"
WRITING_S = 0.4


class FakeExporter(Exporter):
    """Writes the model that the fakes expect, a part at a time."""

    format: ClassVar[str] = FORMAT
    packages: ClassVar[tuple[str, ...]] = ()

    def probe(self) -> str | None:
        return None

    def options(self, request: ExportRequest) -> dict[str, Any]:
        return {"target": request.target, **request.options}

    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        with (directory / MODEL_FILE).open("wb") as stream:
            for _ in range(64):
                stream.write(MAGIC)
                stream.flush()
                time.sleep(WRITING_S / 64)
        return ExportResult()


class SlowExporter(FakeExporter):
    """Says that it takes minutes."""

    format: ClassVar[str] = SLOW_FORMAT
    slow: ClassVar[bool] = True


class RunsExported(Fake):
    """The good citizen over artifacts of these exporters."""

    formats: ClassVar[tuple[str, ...]] = (FORMAT, SLOW_FORMAT)
