// All cells: grouped by workload, sorted by any column within it, filtered by the bar; each row unfolds to everything known
// of the cell. Eight columns are shown until others are chosen.
//
// The rows are grids of fixed columns, so that rows out of sight cost no layout (content-visibility): 500 rows of a plain
// table take a browser longer than everything else on the page. Roles keep it a table for assistive technology.

const COLUMNS = [
  { key: "cell", name: "Cell", first: true, always: true, width: Math.min(23, 3.6 + 0.48 * d3.max(DATA.cells, (c) => clip(c.id, 48).length)), value: (c) => c.id, cell: (c, row) => row.toggle, title: "runtime / device / mode / precision" },
  { key: "latency", name: "Latency [95 %], ms", first: true, width: 11, num: true, value: (c) => at(c)?.median, cell: (c) => at(c)?.text ?? "–", title: "Median of the steady samples at the boundary shown" },
  { key: "p95", name: "p95", width: 5, num: true, value: (c) => at(c)?.p95, cell: (c) => at(c)?.p95_text ?? "–", title: "Only where 59 samples or more carry it" },
  { key: "throughput", name: "img/s", first: true, width: 5.5, num: true, down: true, value: (c) => at(c)?.img_s, cell: (c) => at(c)?.img_s_text ?? "–", title: "B·N images over the median latency" },
  { key: "ratio", name: "vs upstream [95 %]", first: true, width: 11, num: true, down: true, value: (c) => (c.baseline ? 1 : at(c)?.ratio), cell: (c) => at(c)?.ratio_text ?? "–", title: "Baseline over cell, paired within the rounds of one run" },
  { key: "verdict", name: "Verdict", first: true, width: 7, value: (c) => at(c)?.verdict, cell: (c) => verdictMark(at(c)?.verdict) },
  { key: "depth", name: "Depth error", first: true, width: 6.2, num: true, value: (c) => c.depth_error, cell: (c) => c.depth_text, title: "Relative L2 against upstream fp32, worst over the inputs" },
  { key: "rotation", name: "Rotation", width: 5.6, num: true, value: (c) => c.rotation, cell: (c) => c.pose_text, title: "Worst rotation of a view against upstream fp32" },
  { key: "memory", name: "Memory", first: true, width: 6.2, num: true, value: (c) => c.memory_mib, cell: (c) => c.memory_text, title: "Peak: on the device where it has its own memory (– where its runtime can't tell), else resident" },
  { key: "artifact", name: "Artifact", width: 6.2, num: true, value: (c) => c.size_mib, cell: (c) => c.size_text, title: "Size on disk" },
  { key: "export", name: "Export", width: 7.5, num: true, value: (c) => c.export_s, cell: (c) => c.export_text },
  { key: "load", name: "Load", width: 4.6, num: true, value: (c) => c.load_s, cell: (c) => c.load_text },
  { key: "first", name: "First call", width: 5.4, num: true, value: (c) => c.first_s, cell: (c) => c.first_text },
  { key: "compile", name: "Compile", width: 5, value: (c) => c.compiled, cell: (c) => (c.compiled === null ? "–" : c.compiled ? "✓" : "✗"), title: "compiled when loaded; – where the format is compiled by nature" },
  { key: "stability", name: "Stability", width: 10, value: (c) => at(c)?.cv, cell: (c) => at(c)?.stability ?? "–", title: `✓ where ${DATA.stable}` },
  { key: "n", name: "n", width: 4.2, num: true, down: true, value: (c) => at(c)?.n, cell: (c) => String(at(c)?.n ?? "–"), title: "Steady samples" },
  { key: "status", name: "Status", first: true, width: 9, wrap: true, value: (c) => c.status_text, cell: (c) => c.status_text },
];
const MARKS = { faster: "▲ faster", slower: "▼ slower", equivalent: "= equivalent", inconclusive: "? inconclusive", baseline: "baseline" };

function verdictMark(verdict) {
  if (!verdict || !MARKS[verdict]) return "–";
  return h("span", { class: `verdict ${verdict}` }, MARKS[verdict]);
}

/** The keys of the columns shown, in the address when they are not the usual ones. */
function columnChoice(changed) {
  const usual = COLUMNS.filter((c) => c.first).map((c) => c.key);
  const asked = (new URLSearchParams(location.search).get("columns") ?? "").split(",").filter((key) => COLUMNS.some((c) => c.key === key));
  const keys = new Set(asked.length ? ["cell", ...asked] : usual);
  const summary = h("summary", {});
  const say = () => { summary.textContent = `Columns: ${keys.size} of ${COLUMNS.length}`; };
  const boxes = COLUMNS.filter((c) => !c.always).map((column) => {
    const box = h("input", { type: "checkbox", checked: keys.has(column.key), onchange: () => {
      if (box.checked) keys.add(column.key);
      else keys.delete(column.key);
      const shown = COLUMNS.filter((c) => keys.has(c.key)).map((c) => c.key);
      toAddress({ columns: shown.join() === usual.join() ? "" : shown.filter((key) => key !== "cell").join() });
      say();
      changed();
    } });
    return h("label", {}, box, column.name);
  });
  say();
  return { shown: () => COLUMNS.filter((c) => keys.has(c.key)), menu: h("details", { class: "menu" }, summary, h("div", { class: "menu-list" }, boxes)) };
}

/** The tools above the table, and the table. */
function cellTable() {
  const order = { column: COLUMNS.find((c) => c.key === "latency"), down: false };
  const open = new Set();
  const chosen = columnChoice(() => show());
  const head = h("thead", { role: "rowgroup" });
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { role: "table", class: "rows" }, head, body);
  const tr = (attributes, ...cells) => h("tr", { role: "row", ...attributes }, cells);
  const wide = (attributes, ...content) => h("td", { role: "cell", "aria-colspan": chosen.shown().length, ...attributes }, content);

  /** One heading a column, made once: the focus stays on it while the table is sorted. */
  const heads = new Map(COLUMNS.map((column) => [column, h("th", { role: "columnheader", scope: "col", class: column.num ? "num" : null, title: column.title ?? null },
    h("button", { type: "button", onclick: () => {
      order.down = order.column === column ? !order.down : Boolean(column.down);
      order.column = column;
      show();
    } }, column.name))]));
  const headRow = tr({});
  head.append(headRow);

  function show() {
    const columns = chosen.shown();
    const widths = columns.map((column) => `${column.width}rem`);
    table.style.setProperty("--columns", widths.join(" "));
    table.style.setProperty("--rest", widths.slice(1).join(" ") || "1fr");
    if (headRow.childElementCount !== columns.length || columns.some((column, i) => headRow.children[i] !== heads.get(column))) headRow.replaceChildren(...columns.map((column) => heads.get(column)));
    for (const [column, heading] of heads) {
      if (column === order.column) heading.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    }
    body.replaceChildren(...DATA.groups.flatMap((group) => groupRows(group, columns)));
    if (!body.childElementCount) body.append(tr({ class: "note" }, wide({ class: "empty" }, "No cell matches these filters. ", resetButton())));
  }

  function groupRows(group, columns) {
    const cells = group.cells.filter(visible).sort(compareBy(order));
    if (!cells.length) return [];
    const some = cells.length < group.count ? `${cells.length} of ${group.count} cells` : `${group.count} cells`;
    const title = DATA.groups.length > 1 ? [tr({ class: "group" }, wide({}, h("b", {}, group.machineName), ` ${clip(group.workload, 120)} · ${some}`))] : [];
    return [...title, ...cells.flatMap((cell) => rowOf(cell, columns))];
  }

  function rowOf(cell, columns) {
    const row = { toggle: null };
    row.toggle = h("button", {
      type: "button", class: "row-toggle", "aria-expanded": String(open.has(cell)),
      onclick: () => { if (!open.delete(cell)) open.add(cell); show(); body.querySelector(`[data-cell="${cell.index}"] button`)?.focus(); },
    }, swatch(colorOf(cell)), mono(clip(cell.id, 48)));
    const kind = cell.baseline ? "base" : timed(cell) && cell.status === "ok" ? null : "failed";
    const filled = timed(cell) ? columns : columns.slice(0, 1);
    const element = tr({ class: kind, "data-cell": cell.index },
      filled.map((column) => h("td", { role: "cell", class: column.num ? "num" : column.wrap ? "wrap-text" : null }, column.cell ? column.cell(cell, row) : clip(column.value(cell) ?? "–", 60))),
      timed(cell) ? null : h("td", { role: "cell", class: "reason", colspan: columns.length - 1, "aria-colspan": columns.length - 1 }, clip(cell.status_text, 300)));
    return open.has(cell) ? [element, tr({ class: "detail" }, wide({}, detail(cell)))] : [element];
  }

  listeners.add(show);
  show();
  const shownCells = () => DATA.groups.flatMap((group) => group.cells.filter(visible).sort(compareBy(order)));
  const tools = h("div", { class: "tools" }, chosen.menu,
    copyButton("Copy table", () => tableText(shownCells(), chosen.shown())),
    h("button", { type: "button", onclick: () => download("depthport-cells.csv", csvOf(shownCells())) }, "Download CSV"));
  return [tools, h("div", { class: "scroll sticky-col", tabindex: "0", role: "region", "aria-label": "All cells" }, table)];
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
    h("div", {}, h("h4", {}, "Rerun this cell alone"), h("div", { class: "command-row" }, h("code", { class: "command" }, cell.command), copyButton("Copy", () => cell.command))));
}
