// Elements. All text goes in as text nodes: nothing in a results file can become markup.

/** A new element: h("p", {class: "x", onclick: f}, "text", child, [children]). Null and false children vanish. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, part] of Object.entries(value)) element.style.setProperty(key, part);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/** `text` cut to `longest` characters with an ellipsis. */
function clip(text, longest) {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

/** An element's worth of text for screen readers only. */
function unseen(text) {
  return h("span", { class: "sr" }, text);
}

/** A heading with an anchor, for sections that the navigation names. */
function section(id, title, intro, ...children) {
  return h("section", { class: "part", id, "aria-labelledby": `${id}-title` },
    h("header", {}, h("h2", { id: `${id}-title` }, title), intro ? h("p", {}, intro) : null),
    ...children);
}

/** Definition list from [label, value] pairs. */
function pairs(rows) {
  return h("dl", { class: "kv" }, rows.map(([label, value]) => [h("dt", {}, label), h("dd", {}, value)]));
}

/** A plain table from a head and rows of strings or elements; `align` holds one of l, r a column. */
function plainTable(head, rows, align = "", caption = null) {
  const cls = (i) => (align[i] === "r" ? "num" : null);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption ?? "table" },
    h("table", {},
      h("thead", {}, h("tr", {}, head.map((text, i) => h("th", { scope: "col", class: cls(i) }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, i) => h("td", { class: typeof cell === "string" && cell.length > 48 ? "wrap-text" : cls(i) }, cell)))))));
}

function mono(text) {
  return h("span", { class: "mono" }, text);
}

/** A button that copies what `text()` gives, and says so. */
function copyButton(label, text) {
  const button = h("button", { type: "button", class: "copy", onclick: async () => {
    button.textContent = (await copied(text())) ? "Copied" : "Can't copy";
    setTimeout(() => { button.textContent = label; }, 1600);
  } }, label);
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No permission, or a page from disk, which counts as insecure.
    const area = h("textarea", { class: "sr", readonly: true }, text);
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}

function notes(lines) {
  return lines.length ? h("ul", { class: "notes" }, lines.map((line) => h("li", {}, line))) : null;
}
