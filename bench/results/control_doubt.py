"""Doubt that a run's controls cast on its verdicts, in one clause for every place that prints one."""

from __future__ import annotations

from depthport.bench.results.model import Results


def control_doubt(results: Results) -> str | None:
    """Return why the verdicts of a run are not to be relied on; None where both controls came out as they must.

    A control that is merely inconclusive did not fail: the run was too short, or its machine too noisy, to show
    either answer.
    """
    if not results.controls:
        return "the run has no controls"
    failed = [name for name, control in results.controls.items() if not (control.ok or control.undecided)]
    if failed:
        return f"a control of this run failed ({', '.join(failed)})"
    undecided = [name for name, control in results.controls.items() if control.undecided]
    return f"a control of this run was too short to tell ({', '.join(undecided)})" if undecided else None
