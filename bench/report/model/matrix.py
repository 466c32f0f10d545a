"""Position of a cell in the matrix of its group: what executes it against the precision it computes in.

The rows of the `paper` suite keep the first report's axes (bench/plan/first_report.py): mode, compiled or not, against
what that report calls a precision.
"""

from __future__ import annotations

import re

from depthport.bench.report.model.merge import Row
from depthport.exporters.core.precision import POLICIES

# Results of earlier versions say `seed`.
_FIRST_REPORT = re.compile(r"(?:first|seed)-(minimal|balanced|max)-(\w+?)(-compiled)?$")
PRECISIONS = ("bfloat16", "float16", "None", "False")


def slot(row: Row) -> dict[str, str | int]:
    """{block, row, column, order}: a table, a row and a column of it, and where the column goes."""
    cell = row.cell
    found = _FIRST_REPORT.search(cell.id)
    if found:
        name = found[1] + (", compiled" if found[3] else "")
        order = PRECISIONS.index(found[2]) if found[2] in PRECISIONS else len(PRECISIONS)
        block = f"{cell.device}, the rows of the first report"
        return {"block": block, "row": name, "column": found[2], "order": order}
    mode = [] if cell.mode in ("default", "-", "", cell.device) else [cell.mode]
    known = list(POLICIES)
    return {
        "block": cell.device,
        "row": " · ".join([row.runtime.title, *mode]),
        "column": cell.precision,
        "order": known.index(cell.precision) if cell.precision in known else len(known),
    }
