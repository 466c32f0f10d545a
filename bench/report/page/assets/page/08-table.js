// All cells in one table: sorted by any column, filtered by the bar, each row unfolds to everything known of the cell.
//
// The rows are grids of fixed columns, so that rows out of sight cost no layout (content-visibility): 500 rows of a plain
// table take longer to lay out than everything else on the page. Roles keep it a table for assistive technology.

const COLUMNS = [
  { name: "Cell", width: Math.min(26, 3.6 + 0.48 * d3.max(DATA.cells, (c) => clip(c.id, 48).length)), value: (c) => c.id, cell: (c, row) => row.toggle, title: "runtime / device / mode / precision" },
  { name: "Machine", width: 13, value: (c) => DATA.groups[c.group].machineName, only: () => DATA.machines.length > 1 },
  { name: "Workload", width: 16, value: (c) => DATA.groups[c.group].workload, only: () => distinct(DATA.groups.map((g) => g.workload)).length > 1 },
  { name: "Latency [95 %], ms", width: 12.5, num: true, value: (c) => at(c)?.median, cell: (c) => at(c)?.text ?? "–", title: "Median of the steady samples at the boundary shown" },
  { name: "p95", width: 5, num: true, value: (c) => at(c)?.p95, cell: (c) => at(c)?.p95_text ?? "–", title: "Only where 59 samples or more carry it" },
  { name: "img/s", width: 5.5, num: true, down: true, value: (c) => at(c)?.img_s, cell: (c) => at(c)?.img_s_text ?? "–", title: "B·N images over the median latency" },
  { name: "vs upstream [95 %]", width: 12.5, num: true, down: true, value: (c) => (c.baseline ? 1 : at(c)?.ratio), cell: (c) => at(c)?.ratio_text ?? "–", title: "Baseline over cell, paired within the rounds of one run" },
  { name: "Verdict", width: 8, value: (c) => at(c)?.verdict, cell: (c) => verdictMark(at(c)?.verdict) },
  { name: "Depth error", width: 6.2, num: true, value: (c) => c.depth_error, cell: (c) => c.depth_text, title: "Relative L2 against upstream fp32, worst over the inputs" },
  { name: "Rotation", width: 5.6, num: true, value: (c) => c.rotation, cell: (c) => c.pose_text, title: "Worst rotation of a view against upstream fp32" },
  { name: "Memory", width: 6.2, num: true, value: (c) => c.memory_mib, cell: (c) => c.memory_text, title: "Peak: on the device where it has its own memory (– where its runtime can't tell), else resident" },
  { name: "Artifact", width: 6.2, num: true, value: (c) => c.size_mib, cell: (c) => c.size_text, title: "Size on disk" },
  { name: "Export", width: 7.5, num: true, value: (c) => c.export_s, cell: (c) => c.export_text },
  { name: "Load", width: 4.6, num: true, value: (c) => c.load_s, cell: (c) => c.load_text },
  { name: "First call", width: 5.4, num: true, value: (c) => c.first_s, cell: (c) => c.first_text },
  { name: "Compile", width: 5, value: (c) => c.compiled, cell: (c) => (c.compiled === null ? "–" : c.compiled ? "✓" : "✗"), title: "compiled when loaded; – where the format is compiled by nature" },
  { name: "Stability", width: 10, value: (c) => at(c)?.cv, cell: (c) => at(c)?.stability ?? "–", title: `✓ where ${DATA.stable}` },
  { name: "n", width: 4.2, num: true, down: true, value: (c) => at(c)?.n, cell: (c) => String(at(c)?.n ?? "–"), title: "Steady samples" },
  { name: "Status", width: 24, wrap: true, value: (c) => c.status_text, cell: (c) => c.status_text },
];
const MARKS = { faster: "▲ faster", slower: "▼ slower", equivalent: "= equivalent", inconclusive: "? inconclusive", baseline: "baseline" };

function verdictMark(verdict) {
  if (!verdict || !MARKS[verdict]) return "–";
  return h("span", { class: `verdict ${verdict}` }, MARKS[verdict]);
}

function cellTable() {
  const columns = COLUMNS.filter((column) => !column.only || column.only());
  const order = { column: columns.find((c) => c.name.startsWith("Latency")), down: false };
  const open = new Set();
  const body = h("tbody");
  const heads = columns.map((column) => h("th", { role: "columnheader", scope: "col", class: column.num ? "num" : null, title: column.title ?? null },
    h("button", { type: "button", onclick: () => { order.down = order.column === column ? !order.down : Boolean(column.down); order.column = column; show(); } }, column.name)));
  const tr = (attributes, ...cells) => h("tr", { role: "row", ...attributes }, cells);
  const td = (attributes, span, ...content) => h("td", { role: "cell", ...attributes, "aria-colspan": span > 1 ? span : null, style: span > 1 ? { "grid-column": `span ${span}` } : {} }, content);

  function show() {
    const cells = DATA.cells.filter(visible).sort(compareBy(order));
    heads.forEach((head, i) => {
      if (columns[i] === order.column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    body.replaceChildren(...cells.flatMap(rowOf));
    if (!cells.length) body.append(tr({}, td({ class: "empty" }, columns.length, "No cell matches these filters.")));
  }

  function rowOf(cell) {
    const row = { toggle: null };
    row.toggle = h("button", {
      type: "button", class: "row-toggle", "aria-expanded": String(open.has(cell)),
      onclick: () => { if (!open.delete(cell)) open.add(cell); show(); body.querySelector(`[data-cell="${cell.index}"] button`)?.focus(); },
    }, swatch(colorOf(cell)), mono(clip(cell.id, 48)));
    const kind = cell.baseline ? "base" : timed(cell) && cell.status === "ok" ? null : "failed";
    const filled = timed(cell) ? columns : columns.slice(0, columns.findIndex((column) => column.num));
    const element = tr({ class: kind, "data-cell": cell.index },
      filled.map((column) => td({ class: column.num ? "num" : column.wrap ? "wrap-text" : null }, 1, column.cell ? column.cell(cell, row) : clip(column.value(cell) ?? "–", 60))),
      timed(cell) ? null : td({ class: "wrap-text" }, columns.length - filled.length, clip(cell.status_text, 300)));
    return open.has(cell) ? [element, tr({ class: "detail" }, td({}, columns.length, detail(cell)))] : [element];
  }

  listeners.add(show);
  show();
  body.setAttribute("role", "rowgroup");
  const template = columns.map((column) => `${column.width}rem`).join(" ");
  return h("div", { class: "scroll sticky-col", tabindex: "0", role: "region", "aria-label": "All cells" },
    h("table", { role: "table", class: "rows", style: { "--columns": template } }, h("thead", { role: "rowgroup" }, tr({}, heads)), body));
}

/** By the column's value; what has none comes last either way. */
function compareBy({ column, down }) {
  const sign = down ? -1 : 1;
  return (a, b) => {
    const x = column.value(a) ?? null;
    const y = column.value(b) ?? null;
    if (x === null || y === null) return (x === null) - (y === null) || a.index - b.index;
    const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
    return sign * order || a.index - b.index;
  };
}

function detail(cell) {
  return h("div", { class: "detail-box" },
    cell.status === "ok" ? null : h("p", {}, cell.status_text),
    pairs(cell.details),
    cell.advice.length ? h("div", {}, h("h4", {}, "Advice"), notes(cell.advice)) : null,
    cell.accuracy.length ? plainTable(DATA.accuracy.head, cell.accuracy, "l".padEnd(DATA.accuracy.head.length, "r"), "Accuracy") : null,
    h("div", {}, h("h4", {}, "Rerun this cell alone"), h("code", { class: "command" }, cell.command)));
}
