// The filter bar, the theme, and the page put together.

function choiceField(label, key, values) {
  const select = h("select", { onchange: () => setState({ [key]: select.value }) },
    h("option", { value: "" }, "all"), values.map((v) => h("option", { value: v }, clip(v, 40))));
  listeners.add(() => { select.value = state[key]; });
  return h("label", { class: "field" }, label, select);
}

function filterBar() {
  const search = h("input", { type: "search", placeholder: "runtime, mode, reason…", oninput: () => setState({ text: search.value }) });
  const boundaries = [["", "ranked"], ["device", "device"], ["host", "host"]].map(([value, text]) => {
    const button = h("button", { type: "button", onclick: () => setState({ boundary: value }) }, text);
    const mark = () => button.setAttribute("aria-pressed", String(state.boundary === value));
    listeners.add(mark);
    mark();
    return button;
  });
  const count = h("span", { class: "count", role: "status" });
  const reset = h("button", { type: "button", class: "ghost", onclick: () => setState({ text: "", runtime: "", device: "", precision: "", status: "", boundary: "" }) }, "Reset");
  const update = () => {
    if (search.value !== state.text) search.value = state.text;
    count.textContent = `${DATA.cells.filter(visible).length} of ${DATA.cells.length} cells`;
  };
  listeners.add(update);
  update();
  return h("div", { class: "bar", id: "filters" }, h("div", { class: "bar-row", role: "search", "aria-label": "Filter the cells in all figures and the table" },
    h("label", { class: "field grow" }, "Find", search),
    choiceField("Runtime", "runtime", RUNTIMES), choiceField("Device", "device", DEVICES), choiceField("Precision", "precision", PRECISIONS),
    statusField(),
    h("div", { class: "field" }, "Boundary", h("div", { class: "segmented", role: "group", "aria-label": "Boundary" }, boundaries)), reset, count));
}

function statusField() {
  const select = h("select", { onchange: () => setState({ status: select.value }) },
    [["", "all"], ["ok", "right"], ["failed", "without a result"]].map(([value, text]) => h("option", { value }, text)));
  listeners.add(() => { select.value = state.status; });
  return h("label", { class: "field" }, "Status", select);
}

const THEMES = ["system", "light", "dark"];
function themeButton() {
  const button = document.getElementById("theme");
  let theme = "system";
  try { theme = localStorage.getItem("depthport-theme") ?? "system"; } catch { /* pages from disk may have no storage */ }
  const apply = () => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try { localStorage.setItem("depthport-theme", theme); } catch { /* the choice lasts as long as the page */ }
    apply();
  });
  if (!THEMES.includes(theme)) theme = "system";
  apply();
}

function navigation() {
  const links = [["answer", "Answer"],
    ...DATA.groups.slice(0, 4).map((g) => [`group-${g.index}`, g.tab ? `${DATA.machines.length > 1 ? `${clip(g.machineName, 12)} · ` : ""}${clip(g.tab, 20)}` : clip(g.machineName, 17)]),
    ...(DATA.cross.length ? [["across", "Across"]] : []), ["cells", "All cells"], ["recommendations", "Use cases"], ["trust", "Trust"], ["method", "Method"]];
  document.getElementById("nav").append(...links.map(([id, text]) => h("a", { href: `#${id}` }, text)));
}

themeButton();
navigation();
document.getElementById("main").append(...[
  answers(), filterBar(), ...DATA.groups.map(groupSection), acrossMachines(),
  section("cells", "All cells", "Sort by any column; a row unfolds to its percentiles, parity per output, placement, advice and the command that reruns it.", cellTable()),
  recommendations(), trust(), method(),
  h("footer", { class: "end" }, "Made by depthport. Plots: Observable Plot and D3 (ISC licence). Type: Inter (SIL Open Font License)."),
].filter(Boolean));
document.documentElement.dataset.ready = String(Math.round(performance.now()));
