// Depth and cameras of photographs with onnxruntime-web (WebAssembly).
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { HEIGHT, MEAN, MODEL, STD, UINT8, VIEWS, WIDTH } from "./model.js";

ort.env.wasm.numThreads = 1; // more need the headers of a cross-origin isolated page
const said = document.getElementById("said");
const session = ort.InferenceSession.create(MODEL);

/** RGBA pixels of a photograph that covers HEIGHT×WIDTH, its centre kept; turned as EXIF says. */
async function pixels(file) {
  const photograph = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const scale = Math.max(WIDTH / photograph.width, HEIGHT / photograph.height);
  const [width, height] = [photograph.width * scale, photograph.height * scale];
  context.drawImage(photograph, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
  return context.getImageData(0, 0, WIDTH, HEIGHT).data;
}

/** `image` (1, N, 3, H, W) float32, or (1, N, H, W, 3) uint8 where the graph normalises. */
async function scene(files) {
  const area = HEIGHT * WIDTH;
  const image = UINT8 ? new Uint8Array(VIEWS * area * 3) : new Float32Array(VIEWS * area * 3);
  for (let view = 0; view < VIEWS; view++) {
    const rgba = await pixels(files[view]);
    for (let pixel = 0; pixel < area; pixel++)
      for (let c = 0; c < 3; c++)
        if (UINT8) image[(view * area + pixel) * 3 + c] = rgba[pixel * 4 + c];
        else image[(view * 3 + c) * area + pixel] = (rgba[pixel * 4 + c] / 255 - MEAN[c]) / STD[c];
  }
  return UINT8
    ? new ort.Tensor("uint8", image, [1, VIEWS, HEIGHT, WIDTH, 3])
    : new ort.Tensor("float32", image, [1, VIEWS, 3, HEIGHT, WIDTH]);
}

/** One view's depth (H, W) as a picture: near is bright. */
function draw(depth, height, width) {
  const near = Array.from(depth, (value) => 1 / value);
  const [low, high] = near.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const picture = new ImageData(width, height);
  near.forEach((value, i) => picture.data.set([...Array(3).fill((255 * (value - low)) / (high - low || 1)), 255], i * 4));
  canvas.getContext("2d").putImageData(picture, 0, 0);
  document.getElementById("depth").append(canvas);
}

/** Rows of numbers as text. */
const rows = (name, { data, dims }) => {
  const width = dims[dims.length - 1];
  const lines = Array.from({ length: data.length / width }, (_, i) =>
    Array.from(data.slice(i * width, (i + 1) * width), (v) => v.toFixed(5).padStart(12)).join(""));
  return `${name} (${dims.join(", ")})\n${lines.join("\n")}\n`;
};

async function predict(files) {
  if (files.length !== VIEWS) throw new Error(`${files.length} photographs for ${VIEWS} views`);
  said.textContent = "running ...";
  document.getElementById("depth").replaceChildren();
  const image = await scene(files);
  const begun = performance.now();
  const outputs = await (await session).run({ image });
  said.textContent = `${(performance.now() - begun).toFixed(0)} ms`;
  const [, , height, width] = outputs.depth.dims;
  for (let view = 0; view < VIEWS; view++)
    draw(outputs.depth.data.slice(view * height * width, (view + 1) * height * width), height, width);
  document.getElementById("cameras").textContent =
    rows("extrinsics, world to camera", outputs.extrinsics) + rows("intrinsics, pixels", outputs.intrinsics);
  return outputs;
}

document.getElementById("photographs").addEventListener("change", async ({ target }) => {
  try {
    window.outputs = await predict(target.files);
  } catch (error) {
    said.textContent = error.message;
  }
});
