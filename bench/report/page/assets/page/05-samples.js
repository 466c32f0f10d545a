// Every sample over time, with its distribution beside it on the same axis.

const MOST_SERIES = 8;

function samplesPanel(group) {
  const chosen = new Set(startWith(group));
  const list = h("div");
  const select = h("select", {
    "aria-label": "Add a cell to the sample plots",
    onchange: () => { const cell = DATA.cells[Number(select.value)]; if (cell) chosen.add(cell); if (chosen.size > MOST_SERIES) chosen.delete([...chosen][0]); show(); },
  });
  /** Without `cell`; the focus goes to what takes the place of its button. */
  function remove(cell) {
    const place = [...list.querySelectorAll("button.remove")].indexOf(document.activeElement);
    chosen.delete(cell);
    show();
    const left = [...list.querySelectorAll("button.remove")];
    (left[Math.min(place, left.length - 1)] ?? select).focus();
  }
  function show() {
    list.replaceChildren(...[...chosen].filter((c) => visible(c) && samplesOf(c)).map((cell) => seriesRow(cell, () => remove(cell))));
    if (!list.childElementCount) list.append(h("p", { class: "empty" }, "No samples to show with these filters."));
    const rest = group.cells.filter((c) => timed(c) && !chosen.has(c) && visible(c)).sort(byLatency);
    select.replaceChildren(h("option", { value: "" }, "Add a cell…"), ...rest.map((c) => h("option", { value: c.index }, clip(c.id, 60))));
  }
  listeners.add(show);
  show();
  return panel("Samples over time, and their distribution", {
    controls: [select],
    note: "Each dot is one sample (a group of calls, divided by their number) at its time since the cell's first; hollow dots are warm-up, or were run again because their threads waited for a CPU: they enter no statistic. "
      + "The line is the median, the band its 95 % interval, triangles lie beyond the axis, upright lines begin a process launch. No sample is deleted.",
  }, list);
}

/** The pick, the baseline and the runner-up. */
function startWith(group) {
  const order = group.cells.filter(ran).sort(byLatency);
  return distinct([pickOf(group), ...order.slice(0, 2), baselineOf(group)].filter((c) => c && timed(c))).slice(0, 3);
}

function seriesRow(cell, remove) {
  const figure = at(cell);
  const { points, total } = samplesOf(cell);
  const steady = points.filter((p) => p.steady);
  const domain = clampDomain(steady.length ? steady : points, figure.ci);
  const shown = points.length < total ? `, ${points.length.toLocaleString("en")} of ${total.toLocaleString("en")} shown, extremes kept` : "";
  return h("div", { class: "series" },
    h("header", {}, swatch(colorOf(cell)), h("b", {}, clip(cell.id, 80)),
      h("span", { class: "muted" }, `${figure.text} ms · ${figure.stability} · n = ${figure.n}${shown}`),
      h("button", { type: "button", class: "ghost remove", onclick: remove, "aria-label": `Remove ${clip(cell.id, 60)}` }, "Remove")),
    plotBox((width) => driftPlot(cell, points, figure, domain, width), 130),
    plotBox((width) => distributionPlot(cell, steady, domain, width), 130));
}

/** An axis that shows the bulk and lets no spike flatten it. */
function clampDomain(points, ci) {
  const sorted = points.map((p) => p.ms).sort(d3.ascending);
  const low = Math.min(d3.quantileSorted(sorted, 0.005), ci?.[0] ?? Infinity);
  const high = Math.max(d3.quantileSorted(sorted, 0.995), ci?.[1] ?? 0);
  const room = Math.max((high - low) * 0.25, high * 0.002);
  return [Math.max(0, low - room), high + room];
}

const SERIES_FRAME = { height: 130, marginTop: 8, marginBottom: 24, style: PLOT_STYLE };

function driftPlot(cell, points, figure, domain, width) {
  const last = d3.max(points, (p) => p.t) ?? 0;
  const minutes = last > 150;
  const x = (p) => (minutes ? p.t / 60 : p.t);
  const inside = (p) => p.ms >= domain[0] && p.ms <= domain[1];
  const launches = d3.groups(points, (p) => p.launch).slice(1).map(([, group]) => group[0]);
  const dot = points.length > 900 ? 1.1 : points.length > 300 ? 1.5 : 2;
  return Plot.plot({
    ...SERIES_FRAME, width, marginLeft: 52, marginRight: 6, ariaLabel: `Samples of ${clip(cell.id, 60)} over time`,
    x: { label: null, domain: [0, x({ t: last }) || 1], ticks: Math.max(2, width / 110), tickFormat: (v) => `${d3.format("~r")(v)} ${minutes ? "min" : "s"}` },
    y: { label: null, domain, ticks: 4, grid: true, tickFormat: d3.format("~r") },
    marks: [
      figure.ci ? Plot.rectY([figure.ci], { x1: 0, x2: x({ t: last }) || 1, y1: (d) => d[0], y2: (d) => d[1], fill: colorOf(cell), fillOpacity: 0.18 }) : null,
      Plot.ruleY([figure.median], { stroke: colorOf(cell) }),
      Plot.ruleX(launches, { x, stroke: "var(--rule-strong)", strokeOpacity: 0.7 }),
      Plot.dot(points.filter((p) => inside(p) && p.steady), { x, y: "ms", r: dot, fill: colorOf(cell), fillOpacity: 0.75 }),
      Plot.dot(points.filter((p) => inside(p) && !p.steady), { x, y: "ms", r: dot + 0.6, stroke: colorOf(cell) }),
      Plot.dot(points.filter((p) => p.ms > domain[1]), { x, y: domain[1], r: 2.6, symbol: "triangle", fill: colorOf(cell) }),
      Plot.dot(points.filter((p) => p.ms < domain[0]), { x, y: domain[0], r: 2.6, symbol: "triangle", rotate: 180, fill: colorOf(cell) }),
    ],
  });
}

function distributionPlot(cell, steady, domain, width) {
  if (!steady.length) return h("span");
  const bins = d3.bin().domain(domain).thresholds(d3.range(1, 22).map((i) => domain[0] + (i / 22) * (domain[1] - domain[0])))(steady.map((p) => p.ms));
  return Plot.plot({
    ...SERIES_FRAME, width, marginLeft: 2, marginRight: 2, ariaLabel: `Distribution of the samples of ${clip(cell.id, 60)}`,
    x: { axis: null, domain: [0, d3.max(bins, (b) => b.length) || 1] }, y: { axis: null, domain },
    marks: [Plot.rect(bins, { x1: 0, x2: (b) => b.length, y1: "x0", y2: "x1", fill: colorOf(cell), fillOpacity: 0.7, insetTop: 0.5 }),
      Plot.ruleX([0], { stroke: "var(--rule-strong)" })],
  });
}
