"""Technical notes and methodology: versions, modes, what was measured and how to read it."""

from __future__ import annotations

from depthport.bench.report.markdown.format import blocks, bullets, code, escape, table
from depthport.bench.report.model.merge import Report
from depthport.bench.report.model.rows import STABLE
from depthport.bench.statistics import figures

SYNTHETIC = (
    "Random, well-conditioned parameters stand in for the checkpoint. Latency, memory and parity are those "
    "of the real network; depth, pose and accuracy values are not."
)

SYNTHETIC_SHORT = "timing, memory and parity are valid; depth, pose and accuracy values are not"

READING = (
    "Every figure is a median of steady-state samples unless it says mean; brackets hold its 95 % interval, "
    "and no digit "
    "is printed that the interval does not support. A figure without brackets has no interval (one reading, or one round).",
    "The ratio is baseline / cell, paired within rounds of the same run: above 1 is faster. The baseline is upstream "
    "depth_anything_3 as its users run it, measured in the same run on the same machine.",
    "Verdicts: faster or slower where the interval leaves out 1, equivalent where any difference is within the "
    "margin, inconclusive where the interval is too wide to say. Inconclusive is not “the same”.",
    "Boundary device: inputs and outputs stay on the device; host: numpy in, numpy out, transfers included. Both end "
    "in the runtime's own synchronize. They are never mixed in one ranking.",
    "Throughput is B·N images over the latency of one call. N views of one scene are one problem, not a batch of N.",
    "Depth error is the relative L2 distance of depth from upstream's fp32 output on the same inputs and weights, "
    "taken from the outputs of the timed calls, the worst over the inputs. A cell beyond what its precision allows "
    "is parity failed.",
    "Memory is the peak of the cell's own process, measured apart from timing: on the device where it has "
    "its own memory (– where its runtime can't tell), else resident memory. Of several processes the first does not count: "
    "it may compile what the others find kept.",
    f"Stability is ✓ where {STABLE}. No sample is deleted.",
    "A percentile is printed only where the sample count carries it: p90 from 29, p95 from 59, p99 from 299.",
)


def technical_notes(report: Report) -> str:
    """Versions, weights and runtimes with their licences, and what each mode does."""
    parts = [f"**Synthetic weights.** {SYNTHETIC}"] if report.synthetic else []
    for machine in report.machines:
        versions = ", ".join(f"{escape(k)} {escape(v)}" for k, v in machine.machine.versions.items())
        lines = [f"**{escape(machine.name)}**: {versions or 'versions unknown'}"]
        for run in machine.runs:
            for model, info in run.results.weights.items():
                sha = info.get("sha256", "")[:12]
                lines.append(
                    f"{escape(model)}: weights {code(info.get('id') or 'unknown')}, licence "
                    f"{escape(info.get('licence') or 'unknown')}" + (f", sha256 {code(sha)}…" if sha else "")
                )
        parts.append(bullets(dict.fromkeys(lines)))
    facts: dict[str, list[str]] = {}
    modes: dict[tuple[str, str], str] = {}
    for group in report.groups:
        for row in group.rows:
            facts.setdefault(row.cell.runtime, [row.runtime.title, row.runtime.licence or "unknown"])
            if row.cell.mode_description:
                modes.setdefault((row.cell.runtime, row.cell.mode), row.cell.mode_description)
    named = [[code(name), *map(escape, line)] for name, line in sorted(facts.items())]
    parts.append(table(["Runtime", "Product", "Licence"], named))
    head = ["Runtime", "Mode", "What it does"]
    parts.append(table(head, [[code(r), code(m), escape(text)] for (r, m), text in sorted(modes.items())]))
    return blocks(parts).rstrip()


def methodology(report: Report) -> str:
    """Explain how to read the figures, and give the protocol's parameters run by run."""
    parts = [bullets(escape(line, 600) for line in READING)]
    for machine in report.machines:
        for run in machine.runs:
            protocol = run.results.protocol
            text = ", ".join(
                f"{escape(k)} {escape(v)}" for k, v in protocol.items() if isinstance(v, str | int | float) and k != "name"
            )
            name = escape(protocol.get("name") or "unknown")
            inputs = run.results.inputs.get("name")
            fed = f"; inputs: {escape(inputs)}" if inputs else ""
            parts.append(
                f"**{escape(machine.name)}**, run of {run.created}: protocol **{name}** ({text or figures.NONE}){fed}."
            )
    return blocks(parts).rstrip()
