// The lowest contrast (WCAG 2.2, 1.4.3) of any visible text against what is painted behind it: {ratio, text, ...}.
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function rgba(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
function luminance(color) {
  const [r, g, b] = color.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
function behind(element) {
  const layers = [];
  for (let e = element; e; e = e.parentElement) {
    const color = rgba(getComputedStyle(e).backgroundColor);
    if (color[3] > 0) layers.push(color);
    if (color[3] === 1) break;
    // Over a picture anything may be below: the worst for white text is white.
    if (e.classList?.contains("tag")) { layers.push([255, 255, 255, 1]); break; }
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
}
let worst = { ratio: 99 };
let count = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim();
  const element = walker.currentNode.parentElement;
  if (!text || element.closest("script, style, noscript") || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  if (style.visibility === "hidden" || style.opacity === "0") continue;
  const svg = element.closest("svg");
  const below = behind(svg ? svg.parentElement : element);
  const ink = over(rgba(svg ? style.fill : style.color), below);
  const ratio = contrast(luminance(ink), luminance(below));
  count += 1;
  if (ratio < worst.ratio) worst = { ratio, text: text.slice(0, 60), element: element.tagName, class: String(element.getAttribute("class")) };
}
return { ...worst, count };
