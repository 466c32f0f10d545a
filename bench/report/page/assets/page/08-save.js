// What leaves the page: the table as text for a spreadsheet or a message, and every figure of the cells shown as CSV.

/** The table as it is shown, tab-separated, a heading a column. */
function tableText(cells, columns) {
  const text = (column, cell) => (column.key === "cell" ? cell.id : (column.cell?.(cell, {})?.textContent ?? column.cell?.(cell, {}) ?? column.value(cell) ?? ""));
  const heads = ["Machine", "Workload", ...columns.map((column) => column.name)];
  const rows = cells.map((cell) => {
    const group = DATA.groups[cell.group];
    return [group.machineName, group.workload, ...columns.map((column) => text(column, cell))];
  });
  return [heads, ...rows].map((row) => row.map((field) => String(field).replace(/[\t\r\n]+/g, " ")).join("\t")).join("\n");
}

/** Columns of the CSV: names carry their units, numbers are not rounded, what was not measured is empty. */
const CSV_COLUMNS = {
  machine: (c, group) => group.machineName, workload: (c, group) => group.workload, cell: (c) => c.id,
  runtime: (c) => c.runtime, format: (c) => c.format, device: (c) => c.device, mode: (c) => c.mode, precision: (c) => c.precision,
  baseline: (c) => c.baseline, status: (c) => c.status, reason: (c) => (c.status === "ok" ? "" : c.status_text),
  boundary: (c, group) => boundaryOf(group), median_ms: (c) => at(c)?.median, ci95_low_ms: (c) => at(c)?.ci?.[0], ci95_high_ms: (c) => at(c)?.ci?.[1],
  min_ms: (c) => at(c)?.min, p90_ms: (c) => at(c)?.p90, p95_ms: (c) => at(c)?.p95, p99_ms: (c) => at(c)?.p99, cv: (c) => at(c)?.cv,
  samples: (c) => at(c)?.n, launches: (c) => c.launches, img_per_s: (c) => at(c)?.img_s,
  ratio_to_upstream: (c) => at(c)?.ratio, ratio_ci95_low: (c) => at(c)?.ratio_ci?.[0], ratio_ci95_high: (c) => at(c)?.ratio_ci?.[1], verdict: (c) => at(c)?.verdict,
  depth_rel_l2: (c) => c.depth_error, rotation_deg: (c) => c.rotation, host_peak_mib: (c) => c.host_mib, device_peak_mib: (c) => c.device_mib,
  artifact_mib: (c) => c.size_mib, export_s: (c) => c.export_s, load_s: (c) => c.load_s, first_call_s: (c) => c.first_s,
};

/** RFC 4180. A text that a spreadsheet would take for a formula is led by an apostrophe. */
function csvOf(cells) {
  const field = (value) => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = cells.map((cell) => Object.values(CSV_COLUMNS).map((read) => field(read(cell, DATA.groups[cell.group]))));
  return [Object.keys(CSV_COLUMNS), ...rows].map((row) => row.join(",")).join("\r\n").concat("\r\n");
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
