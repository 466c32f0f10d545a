// The parts below the answer: trust, one part a machine and workload, across machines, recommendations, method.

function trust() {
  const rows = DATA.machines.flatMap((machine) => machine.runs.flatMap((run) => run.controls.map(([name, ratio, verdict, expected, passed, tells]) => [[machine.name, h("span", { class: "under" }, run.created)],
    name, ratio, { "✓": `✓ ${verdict}`, "?": `? too short to tell, ${expected} was expected` }[passed] ?? `✗ ${verdict}, not ${expected}`, tells])));
  return section("trust", "Can these numbers be trusted?",
    "Two comparisons with known answers were measured among the others: a cell against itself, and against itself slowed down by 5 %.",
    rows.length ? plainTable(["Machine, run", "Control", "Ratio [95 %]", "Came out", "What it tells"], rows, "llrll", "Controls")
      : h("p", { class: "banner plain" }, "No run here had controls: nothing shows how quiet the machine was."));
}

function groupSection(group) {
  const machine = DATA.machines[group.machine];
  const { burst } = group;
  const body = h("div", { class: "stack" },
      h("div", { class: "grid2" }, h("div", { class: "panel" }, h("h3", {}, "Machine"), pairs(machine.facts), versionsOf(machine)),
        h("div", { class: "panel" }, h("h3", {}, "Key findings"), notes(group.findings))),
      burst ? h("div", { class: "grid2" }, latencyPanel(group), parityPanel(group)) : null, burst ? matrixPanel(group) : null, burst ? samplesPanel(group) : null,
      group.regimes.map((block) => regimePanel(group, block)),
      h("div", { class: "grid2" }, phasesPanel(group), memoryPanel(group)),
      group.tables.map(tablePanel), picturesPanel(group), accuracyPanel(group),
      h("div", { class: "grid2" }, axisPanel(group, "precision"), axisPanel(group, "mode")));
  if (DATA.groups.length > 1) body.querySelectorAll("h3").forEach((title) => title.append(unseen(`, ${groupName(group)}`)));
  return section(`group-${group.index}`, groupName(group), `${group.workload}. ${group.ran} of ${group.count} configurations ran${burst ? " and passed parity" : ""}.`,
    unlessFiltered(group, body), body);
}

/** What stands in a group's place while the filters leave none of its cells. */
function unlessFiltered(group, body) {
  const note = h("p", { class: "banner plain none-left" }, `The filters leave none of these ${group.count} cells. `, resetButton());
  const update = () => {
    note.hidden = group.cells.some(visible);
    body.hidden = !note.hidden;
  };
  listeners.add(update);
  update();
  return note;
}

/** The figures of a sustained or fixed-rate run, drawn and in a table. */
function regimePanel(group, block) {
  const plot = group.burst ? regimePlot(group, block) : null;
  const note = block.kind === "fixed-rate" ? "Drawn: p50, p95 and p99 of the time from when a frame was due to its result; hollow, where frames were left over, the call alone. The red line is the time a frame has." : null;
  return panel(block.title, { note }, plot, plainTable(block.head, block.rows.map(([id, ...rest]) => [mono(clip(id, 60)), ...rest]), "l".padEnd(block.head.length, "r"), block.title));
}

/** A further table of a group: cell by cell, with a note on where it is from. */
function tablePanel(block) {
  return panel(block.title, { note: block.note, fold: block.rows.length < 2 ? "one row" : null }, plainTable(block.head, block.rows.map(([id, ...rest]) => [mono(clip(id, 60)), ...rest]), "l".repeat(block.head.length), block.title));
}

function regimePlot(group, block) {
  const cellOf = (id) => group.cells.find((c) => c.id === id);
  return block.kind === "sustained" ? sustainedPlot(block, cellOf) : deadlinePlot(block, cellOf);
}

/** Median of every window over the minutes, a line a cell, named at its end. */
function sustainedPlot(block, cellOf) {
  const lines = block.lines.filter(([, points]) => points.length > 1);
  if (!lines.length) return null;
  return plotBox((width) => {
    const shown = lines.filter(([id]) => visible(cellOf(id)));
    const values = shown.flatMap(([, points]) => points.map((p) => p[1]));
    return shown.length ? Plot.plot({
      width, height: 300, marginLeft: 52, marginRight: 12, marginBottom: 40, marginTop: 26, style: PLOT_STYLE, ariaLabel: block.title,
      x: { label: "minutes →", grid: true }, y: { ...axisFor(values, "↑ median ms of a window"), zero: false },
      marks: shown.flatMap(([id, points]) => [
        Plot.line(points, { x: (p) => p[0] / 60, y: (p) => p[1], stroke: colorOf(cellOf(id)), strokeWidth: 1.8 }),
        Plot.text([points[points.length - 1]], { x: (p) => p[0] / 60, y: (p) => p[1], text: [clip(id, Math.floor(width / 9))], textAnchor: "end", dy: -9, fill: "var(--ink)", stroke: "var(--panel)", strokeWidth: 4 }),
      ]),
    }) : null;
  }, 300);
}

/** How long a frame takes from when it was due, against the time it has. */
function deadlinePlot(block, cellOf) {
  const found = block.marks.map(([id, m]) => ({ cell: cellOf(id), ...m })).filter((m) => m.cell && (m.p50 ?? m.service));
  if (!found.length) return null;
  const ends = ["p50", "p95", "p99"];
  return plotBox((width) => {
    const rows = found.filter((m) => visible(m.cell)).sort((a, b) => (a.service ?? a.p50) - (b.service ?? b.p50));
    if (!rows.length) return null;
    const most = (m) => d3.max(ends, (key) => m[key]) ?? m.service;
    return rowChart({
      cells: rows.map((m) => m.cell), width, label: "Latency of a frame against its deadline",
      x: axisFor([...rows.map(most), ...rows.map((m) => m.service ?? m.p50), rows[0].period ?? 0].filter((v) => v > 0), "ms from when a frame was due →"),
      right: (c) => { const m = rows.find((r) => r.cell === c); return m.missed === null ? "" : `${d3.format(".2~r")(m.missed * 100)} % missed`; },
      marks: (y, dy) => [
        rows[0].period ? Plot.ruleX([rows[0].period], { stroke: "var(--bad)", strokeWidth: 1.5 }) : null,
        Plot.ruleY(rows.filter((m) => m.p50), { y: (m) => y(m.cell), x1: "p50", x2: most, stroke: (m) => colorOf(m.cell), strokeWidth: 3, dy }),
        Plot.dot(rows.flatMap((m) => ends.filter((key) => m[key]).map((key) => ({ m, value: m[key] }))), { y: (d) => y(d.m.cell), x: "value", r: 3.6, fill: (d) => colorOf(d.m.cell), dy }),
        Plot.dot(rows.filter((m) => !m.p50), { y: (m) => y(m.cell), x: "service", r: 4.4, stroke: (m) => colorOf(m.cell), dy }),
      ],
    });
  }, 160);
}

function versionsOf(machine) {
  return machine.versions.length ? h("details", {}, h("summary", {}, "Versions"), pairs(machine.versions)) : null;
}

function axisPanel(group, axis) {
  const rows = group.axes[axis];
  if (!rows.length) return null;
  const head = [upperFirst(axis), "Cells", "Mean img/s", "Fastest cell"];
  const body = rows.map((r) => [
    [clip(r.value, 40), r.description ? h("span", { class: "under" }, clip(r.description, 90)) : null], String(r.cells), r.mean,
    [mono(clip(r.best, 38)), h("span", { class: "under" }, `${r.latency} ms, ${r.img_s} img/s`)]]);
  return panel(`By ${axis}`, { fold: rows.length < 2 ? `one ${axis}, nothing to compare` : null, note: "The mean is over cells, an overview, not an estimate: it changes with what is in the matrix." }, plainTable(head, body, "lrrl", `By ${axis}`));
}

/** An axis for dots: as wide as the values and a little air, so that small differences show; never below 0. */
function roomy(values) {
  const [low, high] = d3.extent(values);
  const air = Math.max((high - low) * 0.15, high * 0.03) || 1;
  return [Math.max(0, low - air), high + air];
}

/** AbsRel of every cell on every scene with truth, and the figures themselves below. */
function accuracyPanel(group) {
  const judged = group.cells.filter((c) => c.truth.length);
  if (!judged.length) return null;
  const scenes = distinct(judged.flatMap((c) => c.truth.map(([name]) => name)));
  const symbol = (name) => SYMBOLS[Math.min(scenes.indexOf(name), SYMBOLS.length - 1)];
  const limit = rowLimit();
  const box = plotBox((width) => {
    const cells = limit.cut(judged.filter(visible));
    const points = cells.flatMap((cell) => cell.truth.filter(([, value]) => value !== null).map(([scene, value]) => ({ cell, scene, value })));
    if (!points.length) return null;
    const main = (c) => c.truth[0][1];
    return rowChart({
      cells, width, label: "AbsRel against ground truth", right: (c) => (main(c) === null ? "–" : main(c).toFixed(3)),
      x: { type: "linear", domain: roomy(points.map((p) => p.value)), label: "AbsRel, lower is better →", grid: true, ticks: Math.max(3, width / 130), tickFormat: plainNumber },
      marks: (y, dy) => [
        Plot.dot(points, { y: (p) => y(p.cell), x: "value", symbol: (p) => symbol(p.scene), fill: (p) => colorOf(p.cell), r: 4.6, dy }),
        Plot.tip(points, Plot.pointer({ y: (p) => y(p.cell), x: "value", title: (p) => `${clip(p.cell.id, 60)}\n${p.scene}: AbsRel ${p.value.toFixed(4)}`, fontSize: 12, dy })),
      ],
    });
  });
  const rows = judged.flatMap((cell) => cell.accuracy.map((line) => [mono(clip(cell.id, 60)), ...line]));
  const head = ["Cell", ...DATA.accuracy.head];
  const void_ = judged.some((c) => c.meaningless);
  return panel("Accuracy against ground truth", {
    fold: void_ ? "random weights: accuracy figures have no meaning" : null, controls: [limit.button],
    legend: h("ul", { class: "legend" }, scenes.slice(0, 8).map((name) => h("li", {}, glyph(symbol(name)), clip(name, 40)))),
    note: `${DATA.accuracy.note} The figure on the right is the first scene's.`,
  }, void_ ? h("p", { class: "void" }, "Random weights: these figures have no meaning. They only show that the pipeline from a checkpoint to them works.") : null,
  box, h("details", {}, h("summary", {}, "All figures, per scene and alignment"), plainTable(head, rows.slice(0, 240), "ll".padEnd(head.length, "r"), "Accuracy")));
}

function acrossMachines() {
  const fleet = DATA.fleet.runs.length ? panel("Which machine measured what", { note: "One suite, frozen and carried to each machine." }, plainTable(DATA.fleet.head, DATA.fleet.runs, "llllll", "Which machine measured what")) : null;
  if (!DATA.cross.length && !fleet) return null;
  const chart = (block) => plotBox((width) => {
    const rows = block.rows.map((r, i) => ({ ...r, i, name: clip(r.machine === r.device ? r.machine : `${r.machine} · ${r.device}`, Math.floor(width / 9)) }));
    return Plot.plot({
      width, height: rows.length * 44 + 40, marginLeft: 4, marginRight: 8, marginTop: 2, marginBottom: 38, style: PLOT_STYLE, ariaLabel: "Throughput of the best cell of each device",
      x: { ...axisFor(rows.map((r) => r.img_s), "img/s of its best cell →"), labelAnchor: "right" }, y: { type: "point", domain: rows.map((r) => r.i), axis: null, padding: 0.6 },
      marks: [
        Plot.ruleY(rows, { y: "i", stroke: "var(--rule)", dy: 8 }),
        Plot.dot(rows, { y: "i", x: "img_s", r: 6, fill: (r) => `var(--c${Math.min(Math.max(RUNTIMES.indexOf(r.runtime), 0), 7) + 1})`, dy: 8 }),
        Plot.text(rows, { y: "i", text: "name", frameAnchor: "left", textAnchor: "start", dy: -8, fontWeight: 600, fill: "var(--ink)", stroke: "var(--panel)", strokeWidth: 4 }),
        Plot.text(rows, { y: "i", text: (r) => `${r.img_s_text} img/s, ${r.times_text.split(" ")[0]}`, frameAnchor: "right", textAnchor: "end", dy: -8, fill: "var(--muted)", stroke: "var(--panel)", strokeWidth: 4 }),
      ],
    });
  }, 120);
  return section("across", "Across devices", "The only part that compares machines: their days, baselines and drivers differ. It says what to expect, not which software is better.",
    h("div", { class: "stack" }, fleet, DATA.cross.map((block) => panel(block.workload, { note: `Fastest cell of each device at the ${block.boundary} boundary; “times” is throughput over that of the slowest device listed.` },
      chart(block), plainTable(["Machine and device", "Fastest cell", "Latency [95 %], ms", "img/s", "Times [95 %]", "vs its own upstream [95 %]", "Depth error"],
        block.rows.map((r) => [[r.machine, h("span", { class: "under" }, r.device)], mono(clip(r.cell, 70)), r.latency, r.img_s_text, r.times_text, [r.upstream, h("span", { class: "under" }, verdictMark(r.verdict))], r.depth_error]), "llrrrrr", "Across devices")))));
}

function recommendations() {
  const cards = DATA.recommendations.map((r) => h("article", { class: "panel card" },
    h("h3", {}, r.title), h("p", { class: "muted small" }, `${upperFirst(r.asks)}.`),
    r.elsewhere ? h("p", { class: "small" }, `Not measured: ${r.elsewhere.replaceAll("`", "")}.`) : null,
    r.answers.map((a) => h("div", { class: "case" },
      h("p", { class: "muted small" }, `${clip(a.machine, 90)}, ${clip(a.workload, 120)}`),
      h("p", {}, a.pick ? mono(clip(a.pick, 90)) : "No cell meets this."), h("p", { class: "small" }, a.figures),
      h("details", {}, h("summary", {}, "Why, and what would change it"), notes([`${upperFirst(a.why)}.`, ...a.sensitivity.map(upperFirst), ...a.break_even]))))));
  return section("recommendations", "Recommendations by use case",
    "Answers of depthport choose. Ask your own question: it accepts bounds on latency, throughput, memory, size, cold start, parity, accuracy, device and licence.",
    h("div", { class: "cards" }, cards));
}

function method() {
  const runs = DATA.machines.flatMap((machine) => machine.runs.map((run) => h("details", {},
    h("summary", {}, `${machine.name}, run of ${run.created}: protocol ${run.protocol.name ?? "unknown"}`),
    pairs([...Object.entries(run.protocol).map(([k, v]) => [k, String(v)]), ["inputs", run.inputs],
      ...run.weights.map(([model, id, licence, sha]) => [`weights of ${model}`, `${id}, licence ${licence}${sha ? `, sha256 ${sha.slice(0, 16)}…` : ""}`])]))));
  return section("method", "How it was measured", null, h("div", { class: "panel stack" }, notes(DATA.reading), ...runs));
}
