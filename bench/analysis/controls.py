"""The two comparisons whose answers are known: a cell against itself, and against itself delayed."""

from __future__ import annotations

from collections.abc import Sequence

from depthport.bench.analysis.evidence import Evidence
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.controls import AA, PLUS5, repeated
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.model import Control, Speedup
from depthport.bench.statistics.verdict import Verdict

MOST_NOISE = 0.10
"""An A/A interval that reaches further shows nothing: twice the delay that the other control injects."""


def judge_controls(specs: Sequence[CellSpec], evidence: Evidence, protocol: Protocol) -> dict[str, Control]:
    """`aa` and `plus5`; empty where the protocol or the regime has none."""
    if not protocol.controls or evidence.regimes:
        return {}
    usable = [s for s in specs if evidence.samples(s.id, protocol.deciding_boundary) is not None]
    names = {e.cell for e in evidence.blocks}
    controls: dict[str, Control] = {}
    for name, tag, expected in (("aa", AA, "equivalent"), ("plus5", PLUS5, "slower")):
        subject = repeated(usable, names, tag)
        if subject is None:
            if usable:
                controls[name] = Control(None, None, "not run", expected, False, "no cell has been timed twice")
            continue
        control = subject.with_tag(tag, tag).id
        boundary = protocol.deciding_boundary
        found = evidence.speedup(control, subject.id, boundary, protocol.margin, one_process=tag == PLUS5)
        assert found is not None
        ok = nothing_found(found) if name == "aa" else found.verdict == Verdict.SLOWER.value
        controls[name] = Control(found.ratio, found.ci95, found.verdict, expected, ok, found.reason)
    return controls


def nothing_found(found: Speedup) -> bool:
    """Return whether an A/A control shows that where nothing differs nothing is found, which a wide interval does not."""
    if found.verdict == Verdict.EQUIVALENT.value:
        return True
    known = found.ci95 is not None and found.ci95[0] >= 1 / (1 + MOST_NOISE) and found.ci95[1] <= 1 + MOST_NOISE
    return found.verdict == Verdict.INCONCLUSIVE.value and known
