// The matrix: what executes against the precision it computes in, a figure a field; the tint is its speed within the table.

function matrixPanel(group) {
  const blocks = d3.groups(group.cells, (c) => c.slot.block).map(([name, cells]) => [name, cells, cells.filter(timed)]);
  const shown = blocks.filter(([, , ran]) => ran.length > 3 && distinct(ran.map((c) => c.slot.column)).length > 1);
  if (!shown.length) return null;
  const box = h("div", { class: "stack" });
  const draw = () => {
    const tables = shown.map(([name, cells]) => matrixTable(group, name, cells.filter(visible))).filter(Boolean);
    box.replaceChildren(...(tables.length ? tables : [h("p", { class: "empty" }, "Nothing to show with these filters.")]));
  };
  listeners.add(draw);
  draw();
  const idle = blocks.filter(([, , ran]) => !ran.length).map(([name, cells]) => `${name}: none of ${cells.length} ran, ${clip(cells[0].status_text, 90)}`);
  return panel("The matrix", {
    note: "Median ms and the ratio to upstream; the stronger the tint, the faster within its table. Ringed: the pick. Where several cells fall together, the fastest is shown.",
  }, box, idle.length ? h("details", {}, h("summary", {}, `Not here: ${distinct(blocks.filter(([, , ran]) => !ran.length).map(([name]) => name)).slice(0, 6).join(", ")}`), notes(idle)) : null);
}

function matrixTable(group, name, cells) {
  if (!cells.length) return null;
  const columns = distinct([...cells].sort((a, b) => a.slot.order - b.slot.order).map((c) => c.slot.column));
  const best = (row, column) => cells.filter((c) => c.slot.row === row && c.slot.column === column)
    .sort((a, b) => timed(b) - timed(a) || (timed(a) ? byLatency(a, b) : 0));
  const extent = d3.extent(cells.filter(timed), (c) => at(c).median);
  const tint = (c) => (extent[0] < extent[1] ? 44 * (1 - Math.log(at(c).median / extent[0]) / Math.log(extent[1] / extent[0])) : 22);
  const pick = pickOf(group);
  function field(row, column) {
    const [cell, ...others] = best(row, column);
    if (!cell) return h("td", { class: "none" });
    const many = others.length ? ` (of ${others.length + 1} cells)` : "";
    if (!timed(cell)) return h("td", { class: "none", title: cell.status_text }, cell.status.replaceAll("_", " "));
    return h("td", { class: cell === pick ? "tinted pick" : "tinted", style: { "--tint": `${tint(cell).toFixed(1)}%` }, title: `${describe(cell)}${many}` },
      h("b", {}, at(cell).text.split(" ")[0]), h("small", {}, cell.status === "ok" ? at(cell).ratio_text.split(" ")[0] : cell.status.replaceAll("_", " ")));
  }
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Matrix of ${name}` }, h("table", { class: "matrix" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, name), columns.map((c) => h("th", { scope: "col" }, clip(c, 24))))),
    h("tbody", {}, distinct(cells.map((c) => c.slot.row)).map((row) => h("tr", {}, h("th", { scope: "row" }, clip(row, 44)), columns.map((column) => field(row, column)))))));
}
