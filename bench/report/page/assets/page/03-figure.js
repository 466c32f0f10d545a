// Figures: drawn when they come near the window, redrawn when the filters or the width change, all drawn before printing.

const figures = new Set();
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const figure = entry.target.figure;
    figure.near = entry.isIntersecting;
    if (figure.near) drawFigure(figure);
  }
}, { rootMargin: "600px 0px" });
const widths = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const figure = entry.target.figure;
    if (Math.abs(entry.contentRect.width - figure.width) > 1) { figure.dirty = true; if (figure.near) drawFigure(figure); }
  }
});

function drawFigure(figure) {
  const width = Math.floor(figure.box.clientWidth);
  if (!figure.dirty || width < 40) return;
  figure.dirty = false;
  figure.width = width;
  figure.box.replaceChildren(figure.draw(width) ?? h("p", { class: "empty" }, "Nothing to show with these filters."));
  figure.box.style.minHeight = "";
}

/** An element that `draw(width)` fills with a node. */
function plotBox(draw, height = 240) {
  const box = h("div", { class: "plot", style: { "min-height": `${height}px` } });
  box.figure = { box, draw, dirty: true, near: false, width: 0 };
  figures.add(box.figure);
  near.observe(box);
  widths.observe(box);
  return box;
}

function redraw() {
  for (const figure of figures) {
    if (!figure.box.isConnected) { figures.delete(figure); near.unobserve(figure.box); widths.unobserve(figure.box); continue; }
    figure.dirty = true;
    if (figure.near) drawFigure(figure);
  }
}
listeners.add(redraw);

// Charts are drawn for a width. Before printing, the rules for paper are made those of the screen for a moment, so that
// every chart finds the width it will have on the sheet.
const mediaRules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
  .filter((rule) => /^(print|screen)/.test(rule.media?.mediaText ?? "")).map((rule) => ({ rule, usual: rule.media.mediaText }));
addEventListener("beforeprint", () => {
  for (const { rule, usual } of mediaRules) rule.media.mediaText = usual.startsWith("print") ? "all" : "not all";
  for (const figure of figures) { figure.dirty = true; drawFigure(figure); }
});
addEventListener("afterprint", () => {
  for (const { rule, usual } of mediaRules) rule.media.mediaText = usual;
  for (const figure of figures) { figure.dirty = true; drawFigure(figure); }
});

/**
 * A panel: title, controls, optional legend, the plot, and one note on how the figures were measured. With `fold`, the
 * reason why it says little here, it is folded away.
 */
function panel(title, { controls = [], legend = null, note = null, fold = null } = {}, ...content) {
  const tools = controls.length ? h("div", { class: "controls" }, controls) : null;
  const body = [legend, ...content, note ? h("figcaption", { class: "fig-note" }, note) : null];
  if (fold) return h("details", { class: "panel folded" }, h("summary", {}, h("h3", {}, title), h("span", { class: "muted small" }, fold)), h("figure", {}, tools, body));
  return h("figure", { class: "panel" }, h("div", { class: "fig-head" }, h("h3", {}, title), tools), body);
}

const ONE = "one cell, nothing to compare";

const PLOT_STYLE = { fontFamily: "inherit", fontSize: "12px", background: "transparent", color: "var(--ink)", overflow: "visible" };

/** Colours of runtimes and shapes of precisions among `cells`. */
function legendOf(cells, shapes = true) {
  const runtimes = distinct(cells.map((cell) => cell.runtime)).slice(0, 12);
  const precisions = distinct(cells.map((cell) => cell.precision)).slice(0, 12);
  const first = (key, value) => cells.find((cell) => cell[key] === value);
  return h("ul", { class: "legend" },
    runtimes.map((name) => h("li", {}, swatch(colorOf(first("runtime", name))), clip(name, 32))),
    shapes && precisions.length > 1 ? precisions.map((name) => h("li", {}, glyph(symbolOf(first("precision", name))), clip(name, 24))) : null);
}

function swatch(color) {
  return h("span", { class: "swatch", style: { background: color }, "aria-hidden": "true" });
}

const SVG = "http://www.w3.org/2000/svg";
function glyph(symbol) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "-6 -6 12 12");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  const shapes = { circle: "Circle", square: "Square", diamond: "Diamond", triangle: "Triangle", star: "Star", wye: "Wye", cross: "Cross" };
  path.setAttribute("d", d3.symbol(d3[`symbol${shapes[symbol] ?? "Circle"}`], 60)());
  path.setAttribute("fill", "currentColor");
  svg.append(path);
  return svg;
}

/** Logarithmic axis where the values span a factor of 5, else linear from 0. */
function axisFor(values, label) {
  const [low, high] = d3.extent(values);
  return low > 0 && high / low > 5
    ? logAxis(low * 0.86, high * 1.14, label)
    : { type: "linear", domain: [0, high * 1.05 || 1], label, grid: true, tickFormat: plainNumber };
}

/** A tick: 20000, 350, 0.5. A log axis labels 1, 2 and 5 only. */
function plainNumber(value) {
  const text = d3.format("~r")(value);
  return text.length > 7 ? d3.format(".0e")(value) : text;
}

/** A log axis with ticks at 1, 2, 5, or at powers of ten where it spans more than three. */
function logAxis(low, high, label, tickFormat = plainNumber) {
  const powers = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1);
  const steps = powers.length > 4 ? [1] : [1, 2, 5];
  const ticks = powers.flatMap((p) => steps.map((s) => s * 10 ** p)).filter((v) => v >= low && v <= high);
  return { type: "log", domain: [low, high], label, grid: true, ticks, tickFormat };
}

/**
 * A chart with one row a cell: names on the left (above the row where the page is narrow), marks, a text on the right.
 * `marks(y)` gets the row channel.
 */
function rowChart({ cells, width, x, marks, right, label }) {
  const narrow = width < 640;
  const longest = narrow ? Math.max(18, Math.floor((width - (right ? 130 : 0)) / 6.8)) : 44;
  const left = narrow ? 6 : Math.min(310, 18 + 6.7 * d3.max(cells, (c) => clip(c.id, longest).length));
  const step = narrow ? 39 : 25;
  const y = (cell) => cell.index;
  return Plot.plot({
    width, height: cells.length * step + 42, marginLeft: left, marginRight: narrow ? 12 : right ? 160 : 24, marginTop: 2, marginBottom: 40,
    style: PLOT_STYLE, ariaLabel: label, x: { ...x, labelAnchor: "right" },
    y: { type: "point", domain: cells.map(y), axis: null, padding: 0.5 },
    marks: [
      Plot.ruleY(cells, { y, stroke: "var(--rule)", strokeOpacity: 0.8, dy: narrow ? 9 : 0 }),
      ...marks(y, narrow ? 9 : 0),
      Plot.text(cells, {
        y, text: (c) => clip(c.id, longest), frameAnchor: "left", textAnchor: narrow ? "start" : "end", dx: narrow ? 0 : -12, dy: narrow ? -6 : 0,
        fill: "var(--ink)", stroke: "var(--panel)", strokeWidth: 4, fontWeight: (c) => (c.id === pickOf(DATA.groups[c.group])?.id ? 650 : 430),
      }),
      right ? Plot.text(cells, {
        y, text: right, frameAnchor: "right", textAnchor: "end", dx: narrow ? 0 : 154, dy: narrow ? -6 : 0, fill: "var(--muted)", stroke: "var(--panel)", strokeWidth: 4,
      }) : null,
    ],
  });
}

/** The `most` first cells and a button that shows all; the baseline is always among them. */
function rowLimit(most = 16) {
  const limit = { all: false };
  limit.button = h("button", { type: "button", hidden: true, onclick: () => { limit.all = !limit.all; redraw(); } });
  limit.cut = (cells) => {
    limit.button.hidden = cells.length <= most;
    limit.button.textContent = limit.all ? `Show the first ${most}` : `Show all ${cells.length}`;
    limit.button.setAttribute("aria-pressed", String(limit.all));
    return limit.all ? cells : cells.filter((cell, i) => i < most || cell.baseline);
  };
  return limit;
}
