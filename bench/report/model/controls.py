"""Opening of a report: the controls of every run, and everything that casts doubt on it."""

from __future__ import annotations

from depthport.bench.report.model.merge import MachineReport, Run
from depthport.bench.results.model import Control
from depthport.bench.statistics import figures

NAMES = {"aa": "A/A: a cell against itself", "plus5": "+5 %: a cell against itself, delayed by 5 %"}
MEANING = {
    "aa": "the noise floor of this machine on this day",
    "plus5": "shows whether a difference of 5 % would have been found",
}
LOUD = 0.05
"""A noise floor worth a word on the first screen."""


def noise_floor(control: Control) -> float | None:
    """Return how far from 1 the A/A interval reaches: smaller differences are noise."""
    return None if control.ci95 is None else max(abs(bound - 1) for bound in control.ci95)


def mark(control: Control) -> str:
    """✓ passed, ✗ failed, ? too short to tell."""
    return "✓" if control.ok else "?" if control.undecided else "✗"


def control_lines(run: Run) -> list[list[str]]:
    """Return per control: name, ratio, verdict, expected verdict, passed, what it tells. Empty if the run had none."""
    lines = []
    for key, control in run.results.controls.items():
        tells = MEANING.get(key, "")
        floor = noise_floor(control)
        if key == "aa" and floor is not None:
            tells = f"noise floor ±{figures.percent(floor)}"
        if control.reason:
            tells = f"{tells}; {control.reason}" if tells else control.reason
        lines.append(
            [
                NAMES.get(key, key),
                figures.ratio(control.ratio, control.ci95),
                "no difference found" if control.ok and control.verdict == "inconclusive" else control.verdict,
                control.expected,
                mark(control),
                tells,
            ]
        )
    return lines


def warning_lines(machine: MachineReport) -> list[str]:
    """Warnings of all runs of one machine, controls that failed first, then what the runs say of themselves."""
    lines: dict[str, None] = {}
    for run in machine.runs:
        when = f" (run of {run.created})" if len(machine.runs) > 1 else ""
        for key, control in run.results.controls.items():
            name = NAMES.get(key, key)
            if control.undecided:
                lines[
                    f"The control “{name}” was too short to tell ({figures.ratio(control.ratio, control.ci95)}): "
                    f"measure longer before you rely on the verdicts of this run{when}"
                ] = None
            elif not control.ok:
                lines[
                    f"The control “{name}” came out {control.verdict}, not {control.expected}: "
                    f"do not trust the verdicts of this run{when}"
                ] = None
        if not run.results.complete:
            lines[f"The run was stopped before its end; the same command resumes it{when}"] = None
        if not run.results.controls and any(c.timing for c in run.results.cells):
            name = run.results.protocol.get("name", "unknown")
            lines[f"The protocol “{name}” has no controls: nothing shows how quiet this machine was{when}"] = None
        for warning in run.results.warnings:
            # Said once: the weights above all else, a failed control just above.
            if warning.get("code", "").startswith("synthetic") or warning.get("code") == "control-failed":
                continue
            parts = [warning.get("message") or warning.get("code", ""), warning.get("advice", "")]
            lines[": ".join(p for p in parts if p) + when] = None
    return list(lines)


def doubt(machine: MachineReport) -> str:
    """All warnings of a machine in a few words; :func:`warning_lines` says them whole."""
    runs = [run for run in machine.runs if run.results.controls]
    parts = []
    for sign, text in (
        ("✗", "a control failed in {}, do not trust its verdicts"),
        ("?", "a control was too short to tell in {}"),
    ):
        count = sum(any(mark(control) == sign for control in run.results.controls.values()) for run in runs)
        if count:
            parts.append(text.format("the run" if len(machine.runs) == 1 else f"{count} of {len(machine.runs)} runs"))
    floors = [f for run in runs if "aa" in run.results.controls and (f := noise_floor(run.results.controls["aa"]))]
    if floors and max(floors) > LOUD:
        parts.append(f"differences below {figures.percent(max(floors))} are noise")
    count = len(warning_lines(machine))
    if count > len(parts):
        parts.append(f"{count} warning{'s' if count != 1 else ''}{' in all' if parts else ''}")
    return "; ".join(parts)
