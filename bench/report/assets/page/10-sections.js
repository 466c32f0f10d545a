// The parts below the answer: trust, one part a machine and workload, across machines, recommendations, method.

function trust() {
  const rows = DATA.machines.flatMap((machine) => machine.runs.flatMap((run) => run.controls.map((line) => [machine.name, run.created, ...line])));
  return section("trust", "Can these numbers be trusted?",
    "Two comparisons with known answers ran among the others: a cell against itself, and against itself slowed down by 5 %.",
    rows.length ? plainTable(["Machine", "Run", "Control", "Ratio [95 %]", "Verdict", "Expected", "Passed", "What it tells"], rows, "llllllll", "Controls")
      : h("p", { class: "banner plain" }, "No run here had controls: nothing shows how quiet its machine was."));
}

function groupSection(group) {
  const machine = DATA.machines[group.machine];
  const parts = [latencyPanel(group), parityPanel(group)];
  return section(`group-${group.index}`, machine.name, `${group.workload}. ${group.ran} of ${group.count} configurations ran and passed parity.`,
    h("div", { class: "stack" },
      h("div", { class: "grid2" }, h("div", { class: "panel" }, h("h3", {}, "Machine"), pairs(machine.facts), versionsOf(machine)),
        h("div", { class: "panel" }, h("h3", {}, "Key findings"), notes(group.findings))),
      h("div", { class: "grid2" }, parts), samplesPanel(group),
      group.regimes.map((block) => regimePanel(group, block)),
      h("div", { class: "grid2" }, phasesPanel(group), memoryPanel(group)),
      picturesPanel(group),
      h("div", { class: "grid2" }, axisPanel(group, "precision"), axisPanel(group, "mode")),
      accuracyPanel(group)));
}

/** Latency over minutes as lines, and the figures of a sustained or fixed-rate run. */
function regimePanel(group, block) {
  const cellOf = (id) => group.cells.find((c) => c.id === id);
  const lines = block.lines.filter(([, points]) => points.length > 1);
  const plot = lines.length ? plotBox((width) => Plot.plot({
    width, height: 260, marginLeft: 52, marginBottom: 40, style: PLOT_STYLE, ariaLabel: block.title,
    x: { label: "minutes →", grid: true }, y: { label: "↑ median ms of a window", grid: true, nice: true },
    marks: lines.filter(([id]) => visible(cellOf(id))).map(([id, points]) => Plot.line(points, { x: (p) => p[0] / 60, y: (p) => p[1], stroke: colorOf(cellOf(id)), strokeWidth: 1.6, title: () => id })),
  }), 260) : null;
  return panel(block.title, { legend: lines.length ? legendOf(lines.map(([id]) => cellOf(id)), false) : null },
    plot, plainTable(block.head, block.rows.map(([id, ...rest]) => [mono(clip(id, 60)), ...rest]), "l".padEnd(block.head.length, "r"), block.title));
}

function versionsOf(machine) {
  return machine.versions.length ? h("details", {}, h("summary", {}, "Versions"), pairs(machine.versions)) : null;
}

function axisPanel(group, axis) {
  const rows = group.axes[axis];
  if (!rows.length) return null;
  const head = [upperFirst(axis), "Cells", "Mean img/s", "Best cell"];
  const body = rows.map((r) => [
    [clip(r.value, 40), r.description ? h("span", { class: "under" }, clip(r.description, 90)) : null], String(r.cells), r.mean,
    [mono(clip(r.best, 60)), h("span", { class: "under" }, `${r.latency} ms, ${r.img_s} img/s`)]]);
  return panel(`By ${axis}`, { note: "The mean is over cells, an overview and no estimate: it changes with what is in the matrix." }, plainTable(head, body, "lrrl", `By ${axis}`));
}

function accuracyPanel(group) {
  const rows = group.cells.flatMap((cell) => cell.accuracy.map((line) => [mono(clip(cell.id, 60)), ...line]));
  if (!rows.length) return null;
  return panel("Accuracy against ground truth", {
    note: "Predicted depth is aligned to the truth, by the ratio of medians or by scale and shift, before it is compared. With synthetic weights the figures mean nothing.",
  }, plainTable(["Cell", "Scene", "AbsRel ↓", "RMSE, m ↓", "δ1 ↑", "Alignment"], rows.slice(0, 120), "llrrrl", "Accuracy"));
}

function acrossMachines() {
  if (!DATA.cross.length) return null;
  return section("across", "Across devices", "The only part that sets one machine against another: different days, baselines and drivers. It says what to expect, not which software is better.",
    h("div", { class: "stack" }, DATA.cross.map((block) => panel(block.workload, { note: `Best cell of each device at the ${block.boundary} boundary; “times” is throughput over that of the slowest device listed.` },
      plainTable(["Machine", "Device", "Best cell", "Latency [95 %], ms", "img/s", "Times [95 %]"],
        block.rows.map((r) => [r.machine, r.device, mono(clip(r.cell, 70)), r.latency, r.img_s_text, r.times_text]), "lllrrr", "Across devices")))));
}

function recommendations() {
  const cards = DATA.recommendations.map((r) => h("article", { class: "panel card" },
    h("h3", {}, r.title), h("p", { class: "muted small" }, `${upperFirst(r.asks)}.`),
    r.elsewhere ? h("p", { class: "small" }, `Not measured: ${r.elsewhere}.`) : null,
    r.answers.map((a) => h("div", { class: "case" },
      h("p", { class: "muted small" }, `${clip(a.machine, 90)}, ${clip(a.workload, 120)}`),
      h("p", {}, a.pick ? mono(clip(a.pick, 90)) : "No cell meets this."), h("p", { class: "small" }, a.figures),
      h("details", {}, h("summary", {}, "Why, and what would change it"), notes([`${upperFirst(a.why)}.`, ...a.flips.map(upperFirst), ...a.break_even]))))));
  return section("recommendations", "Recommendations by use case",
    "Answers of depthport choose. Ask it your own question: it takes bounds on latency, throughput, memory, size, cold start, parity, accuracy, device and licence.",
    h("div", { class: "cards" }, cards));
}

function method() {
  const runs = DATA.machines.flatMap((machine) => machine.runs.map((run) => h("details", {},
    h("summary", {}, `${machine.name}, run of ${run.created}: protocol ${run.protocol.name ?? "unknown"}`),
    pairs([...Object.entries(run.protocol).map(([k, v]) => [k, String(v)]), ["inputs", run.inputs],
      ...run.weights.map(([model, id, licence, sha]) => [`weights of ${model}`, `${id}, licence ${licence}${sha ? `, sha256 ${sha.slice(0, 16)}…` : ""}`])]))));
  return section("method", "How it was measured", null, h("div", { class: "panel stack" }, notes(DATA.reading), ...runs));
}
