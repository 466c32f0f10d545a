"""Confidence with which a pick is stated: one answer for the page's cards, the Markdown report and the key findings.

A pick is *taken* where the run shows it to be faster than upstream and both controls came out as they must. Whatever
weakens that takes the imperative away everywhere at once: the title says "Perhaps", and "faster" becomes "measured
faster".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from depthport.bench.choice.choice import Choice
from depthport.bench.report.model.merge import Group, Row
from depthport.bench.report.model.sentences import short_name
from depthport.bench.results.control_doubt import control_doubt
from depthport.bench.results.model import Cell, Results

Level = Literal["take", "perhaps", "keep", "none"]
LEADS: dict[Level, str] = {"take": "Take", "perhaps": "Perhaps", "keep": "Keep upstream:", "none": "No pick"}
AGAINST = {
    "faster": "faster than upstream",
    "slower": "slower than upstream",
    "equivalent": "equivalent to upstream",
    "inconclusive": "not shown to differ from upstream",
}


@dataclass(frozen=True)
class Headline:
    """Statement of one workload's pick."""

    level: Level
    name: str
    """Runtime, mode and precision of the pick; empty without one."""
    against: str
    """The pick against upstream, in doubt where the run is; empty for upstream itself and where there was no baseline."""
    doubt: str
    """Reason it is no more than "perhaps"; empty where it is."""

    @property
    def lead(self) -> str:
        return LEADS[self.level]

    @property
    def text(self) -> str:
        """`Take PyTorch · fused · bf16`."""
        return f"{self.lead} {self.name}".rstrip()


def pick_of(group: Group, choice: Choice) -> Row | None:
    """The row that was picked."""
    return next((row for row in group.rows if row.cell.id == choice.pick), None)


def headline(group: Group, choice: Choice) -> Headline:
    """Return the statement of the pick of `group`."""
    pick = pick_of(group, choice)
    if pick is None:
        return Headline("none", "", "", choice.why)
    baseline = None if group.baseline is None else group.baseline.cell
    return said_of(pick.cell, short_name(pick), baseline, pick.run.results, choice)


def headline_of(results: Results, choice: Choice) -> Headline:
    """The same for the pick of a single run, by its id."""
    pick = next((cell for cell in results.cells if cell.id == choice.pick), None)
    if pick is None:
        return Headline("none", "", "", choice.why)
    baseline = next((cell for cell in results.cells if cell.baseline and cell.timing), None)
    return said_of(pick, pick.id, baseline, results, choice)


def said_of(pick: Cell, name: str, baseline: Cell | None, results: Results, choice: Choice) -> Headline:
    """Return the statement of a pick that was measured in `results`, beside that run's baseline."""
    in_doubt = control_doubt(results)
    if pick.baseline:
        return Headline("keep", name, "", in_doubt or "")
    found = pick.speedup.get(choice.boundary)
    verdict = None if found is None or baseline is None else found.verdict
    against = "" if verdict is None else AGAINST.get(verdict, f"{verdict} against upstream")
    doubts = [in_doubt] if in_doubt else []
    if baseline is not None and baseline.id in choice.ties:
        doubts.append("upstream is statistically tied with it")
    elif verdict not in (None, "faster"):
        doubts.append("it is not shown to be faster than upstream")
    if in_doubt and verdict in ("faster", "slower"):
        against = f"measured {against}"
    return Headline("perhaps" if doubts else "take", name, against, "; ".join(doubts))
