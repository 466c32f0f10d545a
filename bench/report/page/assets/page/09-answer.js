// The first screen: which one to take, how sure that is, on what machine. Then what casts doubt on it.

function answers() {
  const shapes = distinct(DATA.groups.map((g) => g.workload));
  const lede = shapes.length === 1 ? shapes[0] : `${shapes.length} workloads`;
  const machines = DATA.machines.length === 1 ? DATA.machines[0].name : `${DATA.machines.length} machines`;
  return h("section", { id: "answer", "aria-labelledby": "answer-title" },
    h("div", { class: "lede" },
      h("h1", { id: "answer-title" }, "Which Depth Anything 3 to deploy"),
      h("p", {}, `${lede} on ${machines}: ${DATA.cells.length} configurations, of which ${DATA.cells.filter((c) => c.status === "ok").length} ran${DATA.groups.every((g) => g.headline) ? "" : " and passed parity"}. `
        + `Each ran in its own process${DATA.groups.every((g) => g.headline) ? "." : ", and the outputs of its timed calls were checked against upstream."}`)),
    doubts(),
    h("div", { class: `answers${DATA.groups.length === 1 ? " single" : ""}` }, DATA.groups.map(answerCard)));
}

/** Synthetic weights, warnings of runs, faults of files: before any number, a line each, with the rest folded behind it. */
function doubts() {
  const lines = [];
  if (DATA.synthetic) lines.push(doubt("Synthetic weights", DATA.synthetic.short, [`${clip(DATA.synthetic.models.join(", "), 120)}. ${DATA.synthetic.text}`]));
  for (const machine of DATA.machines) {
    if (machine.warnings.length) lines.push(doubt(machine.name, machine.doubt, machine.warnings));
  }
  if (DATA.notes.length) lines.push(doubt("Damaged file", `${DATA.notes.length} ${DATA.notes.length === 1 ? "thing was" : "things were"} repaired or left out`, DATA.notes));
  return lines.length ? h("div", { class: "banner", role: "note", "aria-label": "Read this first" }, lines) : null;
}

function doubt(title, short, lines) {
  return h("details", {}, h("summary", {}, h("strong", {}, `${clip(title, 80)}:`), ` ${short}`), notes(lines));
}

/** Ties, and the nearest changes of the question that give another answer. */
function changed(group) {
  const ties = group.choice.ties.map((t) => clip(t, 60));
  const lines = [...(ties.length ? [`As good, not told apart: ${ties.join(", ")}`] : []), ...group.choice.flips.slice(0, 3).map((flip) => upperFirst(flip.text))];
  return lines.length ? h("div", {}, h("h4", {}, "What would change it"), notes(lines)) : null;
}

function pays(group) {
  const lines = group.choice.break_even.slice(0, 3);
  return lines.length ? h("div", {}, h("h4", {}, "When it pays"), notes(lines)) : null;
}

/** As sure as the run allows: a failed control or a tie with upstream takes the imperative away. */
function headline(group, pick) {
  const run = DATA.machines[group.machine].runs[0];
  const base = group.cells.find((c) => c.baseline);
  if (pick.baseline) return `Keep upstream: ${pick.name}`;
  if (base && group.choice.ties.includes(base.id)) return `Nothing shown to beat upstream; perhaps ${pick.name}`;
  const sure = run.trusted && (!base || pick.at[group.boundary].verdict === "faster");
  return `${sure ? "Take" : "Perhaps"} ${pick.name}`;
}

function answerCard(group) {
  const single = DATA.groups.length === 1;
  const pick = pickOf(group);
  const where = h("p", { class: "where" }, h("b", {}, group.machineName), h("span", { class: "muted small" }, clip(group.workload, 160)));
  if (!pick && group.headline) {
    return h("article", { class: "panel answer" }, h("div", { class: "stack" }, where, h("p", { class: "take" }, group.headline[0]), notes(group.headline[1].slice(0, 8))),
      h("div", { class: "stack" }, group.regimes.map((block) => regimePlot(group, block))));
  }
  if (!pick) return h("article", { class: "panel answer" }, where, h("p", { class: "take" }, "No pick"), h("p", { class: "muted" }, group.choice.why), notes(group.findings.slice(-2)));
  const figure = pick.at[group.boundary];
  const upstream = pick.baseline ? { value: "baseline", note: "nothing beats upstream here" } : { value: figure.ratio_text.split(" ")[0], note: interval(figure.ratio_text) };
  const statement = h("div", { class: "stack" }, where,
    h("p", { class: "take" }, headline(group, pick)),
    h("p", { class: "why muted small" }, mono(clip(pick.id, 90)), ` – ${group.choice.why}.`),
    h("dl", { class: "stats" },
      stat("Latency", `${figure.text.split(" ")[0]} ms`, interval(figure.text)),
      stat("Throughput", `${figure.img_s_text} img/s`, `${group.images} ${group.images === 1 ? "image" : "images"} a call`),
      stat("Against upstream", upstream.value, upstream.note),
      stat("Depth error", pick.depth_text, "rel. L2, upstream fp32"),
      stat("Memory", pick.memory_text, pick.memory_mib === null ? "not measured" : pick.device_mib ? "device peak" : "resident peak"),
      stat("Cold start", pick.cold_s === null ? "–" : duration(pick.cold_s), "load and first call")),
    sureness(group, pick, figure), single ? changed(group) : null);
  const rivals = h("div", {}, h("h3", {}, "Against the others"), plotBox((width) => shortList(group, pick, width), 200));
  if (single) return h("article", { class: "panel answer" }, statement, h("div", { class: "stack" }, rivals, pays(group)));
  return h("article", { class: "panel answer" }, statement, rivals,
    h("details", {}, h("summary", {}, "What would change it, when it pays"), changed(group), pays(group)));
}

const upperFirst = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const interval = (text) => { const found = text.match(/\[.*\]/); return found ? `95 % ${found[0]}` : "no interval"; };

function stat(label, value, note) {
  return h("div", {}, h("dt", {}, label), h("dd", {}, value, h("small", {}, note)));
}

/** How sure: verdict, controls, samples. */
function sureness(group, pick, figure) {
  const run = DATA.machines[group.machine].runs[0];
  const chips = [
    pick.baseline ? null : [figure.verdict === "faster" && run.trusted ? "good" : "warn", `${MARKS[figure.verdict] ?? figure.verdict} than upstream`.replace("= equivalent than", "= equivalent to").replace("? inconclusive than", "? inconclusive against")],
    run.controls.length === 0 ? ["warn", "no controls in this protocol"] : run.trusted ? ["good", "✓ controls passed"] : ["bad", "✗ a control failed"],
    run.noise ? ["", `noise floor ${run.noise}`] : null,
    ["", `n = ${figure.n} in ${pick.launches} ${pick.launches === 1 ? "launch" : "launches"}`],
    figure.stability.startsWith("✓") ? ["", `stable, ${figure.stability.slice(2)}`] : ["warn", `unstable: ${figure.stability.slice(2)}`],
    group.synthetic ? ["warn", "synthetic weights"] : null,
  ].filter(Boolean);
  return h("ul", { class: "sure", "aria-label": "How sure" }, chips.map(([kind, text]) => h("li", { class: `chip ${kind}` }, text)));
}

/** The pick, its rivals and the baseline on one axis, always at the boundary that the answer is given at. */
function shortList(group, pick, width) {
  const figure = (c) => c.at[group.boundary];
  const order = group.cells.filter((c) => c.status === "ok" && figure(c)?.median > 0).sort((a, b) => figure(a).median - figure(b).median);
  const cells = order.filter((c, i) => i < 5 || c === pick || c.baseline).slice(0, 7);
  if (!cells.length) return null;
  const low = (c) => figure(c).ci?.[0] ?? figure(c).median;
  const high = (c) => figure(c).ci?.[1] ?? figure(c).median;
  return rowChart({
    cells, width, label: "The pick, its rivals and the baseline",
    x: { ...axisFor(cells.map(high), `ms per call, ${group.boundary} boundary →`), type: "linear", domain: [0, d3.max(cells, high) * 1.04], tickFormat: plainNumber, ticks: 5 },
    right: (c) => figure(c).text,
    marks: (y, dy) => [
      Plot.ruleY(cells, { y, x1: 0, x2: (c) => figure(c).median, stroke: (c) => (c === pick ? colorOf(c) : "var(--rule-strong)"), strokeOpacity: (c) => (c === pick ? 1 : 0.45), strokeWidth: 8, dy }),
      Plot.ruleY(cells, { y, x1: low, x2: high, stroke: "var(--ink)", strokeWidth: 2, dy }),
      Plot.dot(cells, { y, x: (c) => figure(c).median, r: 2.6, fill: "var(--ink)", dy }),
    ],
  });
}
