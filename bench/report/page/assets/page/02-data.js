// The page's data and state, and what follows from them. Figures come as text from the report's writer; numbers are for
// placing marks and for sorting only.

const DATA = JSON.parse(document.getElementById("data").textContent);
DATA.cells.forEach((cell, index) => { cell.index = index; });
DATA.groups.forEach((group, index) => {
  group.index = index;
  group.cells = DATA.cells.filter((cell) => cell.group === index);
  group.machineName = DATA.machines[group.machine].name;
});

const distinct = (values) => [...new Set(values)];
const RUNTIMES = distinct(DATA.cells.map((cell) => cell.runtime));
const PRECISIONS = distinct(DATA.cells.map((cell) => cell.precision));
const DEVICES = distinct(DATA.cells.map((cell) => cell.device));

const NO_FILTER = { text: "", runtime: "", device: "", precision: "", status: "", boundary: "" };
/** Values a filter may have; null: any text. */
const ALLOWED = { text: null, runtime: RUNTIMES, device: DEVICES, precision: PRECISIONS, status: ["ok", "failed"], boundary: ["device", "host"] };
const state = { ...NO_FILTER, ...fromAddress() };
const listeners = new Set();

/** Change the filters, redraw what depends on them, and keep them in the address. */
function setState(changes) {
  Object.assign(state, changes);
  toAddress(Object.fromEntries(Object.keys(NO_FILTER).map((key) => [key, state[key]])));
  for (const listener of listeners) listener();
}

/** The filters that the page's address asks for; what is not among the values here is left alone. */
function fromAddress() {
  return Object.fromEntries([...new URLSearchParams(location.search)]
    .filter(([key, value]) => Object.hasOwn(ALLOWED, key) && (ALLOWED[key] === null ? value.length <= 200 : ALLOWED[key].includes(value))));
}

/** Put values into the address; empty ones leave it. */
function toAddress(values) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(values)) {
    if (value) query.set(key, value);
    else query.delete(key);
  }
  const text = query.toString();
  try { history.replaceState(null, "", `${location.pathname}${text ? `?${text}` : ""}${location.hash}`); } catch { /* some browsers keep the address of a page from disk */ }
}

function visible(cell) {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const hay = `${cell.id} ${cell.name} ${cell.status_text} ${cell.format} ${DATA.groups[cell.group].machineName}`.toLowerCase();
  return (!state.runtime || cell.runtime === state.runtime)
    && (!state.device || cell.device === state.device)
    && (!state.precision || cell.precision === state.precision)
    && (!state.status || (state.status === "ok") === (cell.status === "ok"))
    && words.every((word) => hay.includes(word));
}

/** What tells a group from the others: its machine and, where that ran several workloads, which. */
function groupName(group) {
  return [group.machineName, group.tab].filter(Boolean).join(" · ");
}

/** The boundary shown for a group: the one chosen in the bar, else the one the group is ranked at. */
function boundaryOf(group) {
  return state.boundary || group.boundary;
}

/** A cell's figures at the boundary shown, or undefined. */
function at(cell) {
  return cell.at[boundaryOf(DATA.groups[cell.group])];
}

const ran = (cell) => cell.status === "ok" && at(cell)?.median > 0;
const timed = (cell) => at(cell)?.median > 0;
const baselineOf = (group) => group.cells.find((cell) => cell.baseline && timed(cell));
const pickOf = (group) => group.cells.find((cell) => cell.id === group.pick);
const byLatency = (a, b) => at(a).median - at(b).median;

const SYMBOLS = ["circle", "square", "diamond", "triangle", "star", "wye", "cross", "hexagon"];

/** Colour tells the runtime, shape the precision; beyond eight of either, the last one serves the rest. */
const colorOf = (cell) => `var(--c${Math.min(RUNTIMES.indexOf(cell.runtime), 7) + 1})`;
const symbolOf = (cell) => SYMBOLS[Math.min(PRECISIONS.indexOf(cell.precision), SYMBOLS.length - 1)];

/** 16-bit steps back to numbers. */
function unpack(packed) {
  const raw = atob(packed.data);
  const values = new Float64Array(raw.length / 2);
  const step = (packed.high - packed.low) / 65535;
  for (let i = 0; i < values.length; i += 1) {
    values[i] = packed.low + step * (raw.charCodeAt(2 * i) + 256 * raw.charCodeAt(2 * i + 1));
  }
  return values;
}

/** A cell's samples at the boundary shown: [{ms, t, launch, steady}], and how many there were; null without any. */
function samplesOf(cell) {
  const series = DATA.series[cell.index]?.[boundaryOf(DATA.groups[cell.group])];
  if (!series) return null;
  const ms = unpack(series.ms);
  const t = unpack(series.t);
  const spread = (runs) => runs.flatMap(([value, count]) => Array(count).fill(value));
  const launch = spread(series.launch);
  const steady = spread(series.steady);
  return { total: series.total, points: Array.from(ms, (v, i) => ({ ms: v, t: t[i], launch: launch[i], steady: steady[i] })) };
}
