// What happens once, export, load and first call, and what a cell needs: memory.

const PHASES = [
  { key: "export_s", text: "export_text", name: "Export", symbol: "square" },
  { key: "load_s", text: "load_text", name: "Load", symbol: "diamond" },
  { key: "first_s", text: "first_text", name: "First call", symbol: "circle" },
];

function phasesPanel(group) {
  const limit = rowLimit();
  const total = (c) => (c.export_s ?? 0) + (c.load_s ?? 0) + (c.first_s ?? 0);
  const box = plotBox((width) => {
    const cells = limit.cut(group.cells.filter((c) => visible(c) && total(c) > 0).sort((a, b) => total(a) - total(b)));
    if (!cells.length) return null;
    const points = cells.flatMap((cell) => PHASES.filter((p) => cell[p.key] > 0).map((p) => ({ cell, ...p, value: cell[p.key] })));
    const extent = d3.extent(points, (p) => p.value);
    return rowChart({
      cells, width, label: "Export, load and first call in seconds",
      x: logAxis(extent[0] * 0.7, extent[1] * 1.4, "seconds →"),
      right: (c) => `cold start ${c.cold_text}`,
      marks: (y, dy) => [
        Plot.link(cells.filter((c) => c.load_s && c.first_s), { x1: "load_s", x2: "first_s", y1: y, y2: y, stroke: colorOf, strokeOpacity: 0.35, strokeWidth: 2, dy }),
        Plot.dot(points, { y: (p) => y(p.cell), x: "value", symbol: "symbol", fill: (p) => (p.key === "first_s" ? colorOf(p.cell) : "var(--panel)"),
          stroke: (p) => colorOf(p.cell), strokeWidth: 1.6, r: 4.6, dy }),
        Plot.tip(points, Plot.pointer({ y: (p) => y(p.cell), x: "value", title: (p) => `${clip(p.cell.id, 60)}\n${p.name}: ${p.cell[p.text]}`, fontSize: 12, dy })),
      ],
    });
  });
  return panel("Before the first result", {
    fold: group.cells.filter((c) => total(c) > 0).length < 2 ? ONE : null,
    controls: [limit.button],
    legend: h("ul", { class: "legend" }, PHASES.map((p) => h("li", {}, glyph(p.symbol), p.name))),
    note: "Single readings, on a logarithmic axis. Export happens once a machine and is what the artifact's manifest records; load and first call once a process. "
      + "Cold start is load and first call.",
  }, box);
}

const UPRIGHT = { draw(context) { context.moveTo(0, -6.5); context.lineTo(0, 6.5); } };

function memoryPanel(group) {
  const limit = rowLimit();
  const box = plotBox((width) => {
    const cells = limit.cut(group.cells.filter((c) => visible(c) && (c.device_mib || c.host_mib)).sort((a, b) => (a.memory_mib ?? Infinity) - (b.memory_mib ?? Infinity)));
    if (!cells.length) return null;
    const anyDevice = cells.some((c) => c.device_mib);
    return rowChart({
      cells, width, label: "Peak memory in MiB",
      x: { type: "linear", domain: [0, d3.max(cells, (c) => Math.max(c.device_mib ?? 0, c.host_mib ?? 0)) * 1.05], label: "MiB →", grid: true, tickFormat: d3.format(",") },
      right: (c) => c.memory_text,
      marks: (y, dy) => [
        Plot.ruleY(cells.filter((c) => c.device_mib), { y, x1: 0, x2: "device_mib", stroke: colorOf, strokeWidth: 9, dy }),
        Plot.ruleY(cells.filter((c) => c.host_mib), { y, x1: 0, x2: "host_mib", stroke: colorOf, strokeWidth: anyDevice ? 2 : 9, strokeOpacity: anyDevice ? 0.8 : 1, dy }),
        anyDevice ? Plot.dot(cells.filter((c) => c.host_mib), { y, x: "host_mib", symbol: UPRIGHT, stroke: colorOf, strokeWidth: 2.5, dy }) : null,
        Plot.tip(cells, Plot.pointerY({ y, x: (c) => c.device_mib ?? c.host_mib, title: (c) => `${clip(c.id, 60)}\ndevice ${c.device_text}\nhost ${c.host_text}\nartifact ${c.size_text}`, fontSize: 12, dy })),
      ],
    });
  });
  const device = group.cells.some((c) => c.device_mib);
  return panel("Peak memory", {
    fold: group.cells.filter((c) => c.device_mib || c.host_mib).length < 2 ? ONE : null,
    controls: [limit.button],
    note: device ? "Bar: peak memory on the device. Thin line with a tick: peak resident memory of the cell's process on the host. Measured apart from timing."
      : "Peak resident memory of each cell's own process, measured apart from timing.",
  }, box);
}
