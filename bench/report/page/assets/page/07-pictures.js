// Depth and error pictures: two of them laid over each other, with an edge that moves between them.

function picturesPanel(group) {
  const viewers = [["depth", "Depth"], ["error", "Error to upstream fp32"]].map(([kind, title]) => viewer(group, kind, title)).filter(Boolean);
  if (!viewers.length) return null;
  const left = DATA.pictures_left_out ? ` ${DATA.pictures_left_out} pictures are left out, because this page has a size limit; they are beside the results.` : "";
  const own = group.own_images && group.inputs === null ? " Your photographs are not embedded in this page (depthport report --embed-images does it)." : "";
  return panel("What the cells see", {
    fold: group.synthetic ? "synthetic weights: the pictures show that cells agree, not what is in the scene" : null,
    note: `Drag the edge, or move it with the arrow keys. Pictures are scaled down for this page; the originals are beside the results.${left}${own}`,
  }, group.inputs === null ? null : h("details", {}, h("summary", {}, "What they were shown"), h("img", { class: "inputs", src: DATA.pictures[group.inputs], alt: "The views that went in, first input", loading: "lazy" })),
  h("div", { class: viewers.length > 1 ? "pair" : null }, viewers));
}

function viewer(group, kind, title) {
  const order = distinct([baselineOf(group), pickOf(group), ...group.cells.filter(timed).sort(byLatency), ...group.cells].filter(Boolean));
  const cells = order.filter((cell) => Number.isInteger(cell.pictures[kind]));
  if (cells.length < 2) return null;
  // The error of the baseline is least telling where it is the reference itself: there, pick against runner-up.
  const start = kind === "error" && cells.length > 2 ? [1, 2] : [0, 1];
  const images = [h("img", { alt: "" }), h("img", { alt: "", class: "over" })];
  const tags = [h("span", { class: "tag left" }), h("span", { class: "tag right" })];
  const frame = h("div", { class: "frame", style: { "--at": "50%" } }, images, h("span", { class: "line" }), tags);
  const slider = h("input", {
    type: "range", min: "0", max: "100", value: "50", step: "1", "aria-label": `${title}: where the left picture ends and the right one begins`,
    oninput: () => frame.style.setProperty("--at", `${slider.value}%`),
  });
  frame.append(slider);
  const selects = ["Left", "Right"].map((side, n) => {
    const select = h("select", { onchange: () => show(n, Number(select.value)) }, cells.map((cell, i) => h("option", { value: i }, clip(cell.id, 60))));
    select.value = String(start[n]);
    return h("label", { class: "field" }, side, select);
  });
  function show(n, index) {
    const cell = cells[index];
    images[n].src = DATA.pictures[cell.pictures[kind]];
    images[n].alt = `${title} of ${clip(cell.id, 80)}`;
    tags[n].textContent = clip(cell.id, 40);
  }
  start.forEach((index, n) => show(n, index));
  return h("div", { class: "viewer" }, h("h4", {}, title), h("div", { class: "fields controls" }, selects), frame);
}
