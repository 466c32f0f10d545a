// The charts of the first screen. Its words and figures are in the page already and need no script.

/** In each card of the answer, a chart where the small table of rivals stands; for regimes, their plots. */
function answerCharts() {
  for (const box of document.querySelectorAll("#answer .rivals")) {
    const group = DATA.groups[Number(box.dataset.group)];
    const pick = pickOf(group);
    if (pick) box.replaceChildren(plotBox((width) => shortList(group, pick, width), 200));
    else if (!group.burst) box.replaceChildren(...group.regimes.map((block) => regimePlot(group, block)).filter(Boolean));
  }
}

const upperFirst = (text) => text.charAt(0).toUpperCase() + text.slice(1);

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
