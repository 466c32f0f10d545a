// Latency with its interval, and latency against parity with the Pareto set.

function latencyPanel(group) {
  const limit = rowLimit();
  const box = plotBox((width) => {
    const cells = limit.cut(group.cells.filter((c) => ran(c) && visible(c)).sort(byLatency));
    if (!cells.length) return null;
    const low = (c) => at(c).ci?.[0] ?? at(c).median;
    const high = (c) => at(c).ci?.[1] ?? at(c).median;
    const base = baselineOf(group);
    return rowChart({
      cells, width, label: "Latency with 95 % intervals, fastest first",
      x: axisFor(cells.flatMap((c) => [low(c), high(c)]), `ms per call, ${boundaryOf(group)} boundary →`),
      right: (c) => `${at(c).text}`,
      marks: (y, dy) => [
        base ? Plot.ruleX([at(base).median], { stroke: "var(--rule-strong)", strokeDasharray: "3 3" }) : null,
        Plot.ruleY(cells, { y, x1: low, x2: high, stroke: colorOf, strokeWidth: 3, dy }),
        Plot.dot(cells, { y, x: (c) => at(c).median, fill: colorOf, symbol: symbolOf, r: 5, stroke: "var(--panel)", dy }),
        Plot.tip(cells, Plot.pointerY({ y, x: (c) => at(c).median, title: describe, fontSize: 12, dy })),
      ],
    });
  }, 320);
  return panel("Latency", {
    fold: group.cells.filter(ran).length < 2 ? ONE : null,
    controls: [limit.button], legend: legendOf(group.cells.filter((c) => c.status === "ok")),
    note: "Median of the steady samples; the bar is its 95 % interval (bootstrap over launches and rounds), often narrower than the mark. "
      + "The dashed line is the baseline: upstream as its users run it.",
  }, box);
}

/** A cell in words, for tips. */
function describe(cell) {
  const figure = at(cell);
  return [cell.id, `${figure.text} ms   ${figure.img_s_text} img/s`, `vs upstream ${figure.ratio_text} (${figure.verdict})`,
    `depth error ${cell.depth_text}   memory ${cell.memory_text}`, `n = ${figure.n}, ${cell.launches} launches`].map((l) => clip(l, 70)).join("\n");
}

function parityPanel(group) {
  const box = plotBox((width) => {
    const cells = group.cells.filter((c) => timed(c) && c.depth_error !== null && visible(c));
    if (!cells.length) return null;
    const x = (c) => at(c).median;
    const inexact = cells.filter((c) => c.depth_error > 0);
    const exact = 10 ** (Math.floor(Math.log10(d3.min(inexact, (c) => c.depth_error) ?? 1e-6)) - 1);
    const y = (c) => Math.max(c.depth_error, exact);
    const right = cells.filter((c) => c.status === "ok");
    const front = right.filter((c) => c.front).sort(byLatency);
    const envelope = front.filter((c, i) => front.slice(0, i).every((other) => y(other) > y(c)));
    const named = distinct([pickOf(group), ...front, baselineOf(group)]).filter((c) => cells.includes(c));
    const tickError = (v) => (inexact.length < cells.length && v <= exact * 1.01 ? "exact" : d3.format(".0e")(v));
    // Intervals count for the axis as far as they leave the points legible; beyond, they are cut at the frame.
    const extent = d3.extent(cells, x);
    const ends = cells.flatMap((c) => (at(c).ci ?? []).map((v) => Math.min(Math.max(v, extent[0] / 2), extent[1] * 2)));
    const log = axisFor([...cells.map(x), ...ends], `ms per call, ${boundaryOf(group)} boundary →`);
    const errors = d3.extent([...cells.map(y), ...(group.fp64_error > exact ? [group.fp64_error] : [])]);
    const height = Math.max(320, Math.min(460, width * 0.62));
    const up = [errors[0] / 3, errors[1] * 4];
    const place = {
      left: 52, right: width - 4, x: (log.type === "log" ? d3.scaleLog : d3.scaleLinear)(log.domain, [52, width - 16]),
      y: d3.scaleLog(up, [height - 42, 28]),
    };
    return Plot.plot({
      width, height, marginLeft: 52, marginRight: 16, marginBottom: 42, marginTop: 28,
      style: PLOT_STYLE, ariaLabel: "Latency against depth error; the Pareto set is ringed and joined",
      x: { ...log, labelAnchor: "right" },
      y: { ...logAxis(...up, "↑ depth error vs upstream fp32 (relative L2)", tickError),
        ticks: d3.range(Math.ceil(Math.log10(up[0])), Math.log10(up[1])).map((p) => 10 ** p) },
      marks: [
        Plot.line(envelope, { x, y, curve: "step-after", stroke: "var(--ink)", strokeOpacity: 0.55, strokeWidth: 1.3 }),
        Plot.link(cells.filter((c) => at(c).ci), { x1: (c) => at(c).ci[0], x2: (c) => at(c).ci[1], y1: y, y2: y, stroke: colorOf, strokeWidth: 2.5, clip: true }),
        group.fp64_error > up[0] && group.fp64_error < up[1] ? Plot.ruleY([group.fp64_error], { stroke: "var(--rule-strong)", strokeDasharray: "3 3" }) : null,
        Plot.dot(cells.filter((c) => c.status !== "ok"), { x, y, symbol: "times", stroke: "var(--muted)", r: 4.5 }),
        Plot.dot(right, { x, y, fill: colorOf, symbol: symbolOf, r: 5.2, stroke: "var(--panel)" }),
        Plot.dot(front, { x, y, r: 9, stroke: "var(--ink)", strokeWidth: 1.2 }),
        ...labels(named, cells, x, y, place),
        Plot.tip(cells, Plot.pointer({ x, y, title: describe, fontSize: 12 })),
      ],
    });
  }, 380);
  return panel("Latency against parity", {
    fold: group.cells.filter((c) => timed(c) && c.depth_error !== null).length < 2 ? ONE : null,
    legend: legendOf(group.cells.filter((c) => timed(c) && c.depth_error !== null)),
    note: `Towards the lower left is better. Ringed: the Pareto set over ${group.objectives.join(", ")}, as in depthport choose: no other cell is certainly better in one and no worse in the others; `
      + "a ring inside the line is due to an axis the chart does not show. "
      + "A cross failed its parity gate. The dashed line is upstream fp32 against fp64. The error is the worst over the inputs, from the timed calls' own outputs.",
  }, box);
}

/** Where a label may stand beside its point: [dx, dy, anchor], best first. */
const BESIDE = [[13, 0, "start"], [-13, 0, "end"], [10, -14, "start"], [10, 15, "start"], [-10, -14, "end"], [-10, 15, "end"], [0, -19, "middle"], [0, 20, "middle"], [8, -27, "start"], [8, 28, "start"], [-8, -27, "end"], [-8, 28, "end"]];

/** One text mark a named point, where it covers neither a point nor another label; without such a place, none. */
function labels(named, cells, x, y, place) {
  const points = cells.map((c) => [place.x(x(c)), place.y(y(c))]);
  const taken = [];
  return named.flatMap((cell) => {
    const text = clip(cell.name, 40);
    const [px, py] = [place.x(x(cell)), place.y(y(cell))];
    const free = BESIDE.find(([dx, dy, anchor]) => {
      const long = text.length * 6.5;
      const left = px + dx - (anchor === "end" ? long : anchor === "middle" ? long / 2 : 0);
      const box = [left, py + dy - 8, left + long, py + dy + 8];
      const clear = box[0] > place.left && box[2] < place.right
        && points.every(([a, b]) => a < box[0] - 5 || a > box[2] + 5 || b < box[1] - 4 || b > box[3] + 4)
        && taken.every((t) => t[2] < box[0] || t[0] > box[2] || t[3] < box[1] || t[1] > box[3]);
      if (clear) taken.push(box);
      return clear;
    });
    if (!free) return [];
    return [Plot.text([cell], { x, y, text: [text], fill: "var(--ink)", stroke: "var(--panel)", strokeWidth: 4, dx: free[0], dy: free[1], textAnchor: free[2] })];
  });
}
