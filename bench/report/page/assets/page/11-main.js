// The filter bar, the theme, and the page put together.

function choiceField(label, key, values) {
  const select = h("select", { onchange: () => setState({ [key]: select.value }) },
    h("option", { value: "" }, "all"), values.map((v) => h("option", { value: v }, clip(v, 40))));
  select.value = state[key];
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
  search.value = state.text;
  const update = () => {
    if (search.value !== state.text) search.value = state.text;
    const left = DATA.cells.filter(visible).length;
    count.textContent = left ? `${left} of ${DATA.cells.length} cells` : `No cell of ${DATA.cells.length} matches`;
    count.classList.toggle("nothing", !left);
  };
  listeners.add(update);
  update();
  return h("div", { class: "bar", id: "filters" }, h("div", { class: "bar-row", role: "search", "aria-label": "Filter the cells in all figures and the table" },
    h("label", { class: "field grow" }, "Find", search),
    choiceField("Runtime", "runtime", RUNTIMES), choiceField("Device", "device", DEVICES), choiceField("Precision", "precision", PRECISIONS),
    statusField(),
    h("div", { class: "field" }, "Boundary", h("div", { class: "segmented", role: "group", "aria-label": "Boundary" }, boundaries)), resetButton(), count));
}

function resetButton() {
  return h("button", { type: "button", class: "ghost", onclick: () => setState(NO_FILTER) }, "Reset");
}

function statusField() {
  const select = h("select", { onchange: () => setState({ status: select.value }) },
    [["", "all"], ["ok", "parity passed"], ["failed", "no valid result"]].map(([value, text]) => h("option", { value }, text)));
  select.value = state.status;
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
  button.hidden = false;
  apply();
}

/** Short links in one line or several, never cut; several workloads share a menu. */
function navigation() {
  const link = ([id, text]) => h("a", { href: `#${id}` }, text);
  const groups = DATA.groups.map((g) => [`group-${g.index}`, clip(groupName(g), 60)]);
  const menu = h("details", { class: "menu" }, h("summary", {}, `Workloads (${groups.length})`), h("div", { class: "menu-list" }, groups.map(link)));
  const rest = [...(DATA.cross.length ? [["across", "Across"]] : []), ["cells", "All cells"], ["recommendations", "Use cases"], ["trust", "Trust"], ["method", "Method"]];
  document.getElementById("nav").append(link(["answer", "Answer"]), groups.length > 1 ? menu : link(["group-0", clip(groups[0]?.[1] ?? "Cells", 24)]), ...rest.map(link));
}

/** Menus close on Escape, on a choice that leads elsewhere, and when something else is used. */
function closingMenus() {
  const close = (keep) => document.querySelectorAll("details.menu[open]").forEach((menu) => { if (!menu.contains(keep)) menu.open = false; });
  addEventListener("click", (event) => close(event.target.closest?.("a") ? null : event.target));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.activeElement?.closest("details.menu[open]");
    close(null);
    open?.querySelector("summary").focus();
  });
}

themeButton();
navigation();
closingMenus();
answerCharts();
document.getElementById("main").append(...[
  filterBar(), ...DATA.groups.map(groupSection), acrossMachines(),
  section("cells", "All cells", "Sort by any column; a row unfolds to its percentiles, parity per output, placement, advice and the command that reruns it.", ...cellTable()),
  recommendations(), trust(), method(),
  h("footer", { class: "end" }, "Made by depthport. Plots: Observable Plot and D3 (ISC licence). Type: Inter (SIL Open Font License)."),
].filter(Boolean));
document.documentElement.dataset.ready = String(Math.round(performance.now()));
