// The page's worker: ONNX Runtime Web, and the clock. It fetches one command after the other and posts an answer to each.

// What WebAssembly and ONNX Runtime take is counted where they ask for it: neither tells.
const heaps = [];
const Memory = WebAssembly.Memory;
WebAssembly.Memory = class extends Memory {
	constructor(limits) {
		super(limits);
		heaps.push(this);
	}
};
let threads = 1;
const Thread = self.Worker;
self.Worker = class extends Thread {
	constructor(...given) {
		super(...given);
		threads += 1;
	}
};

// Where it puts each node, ONNX Runtime tells in its log alone, while a model is loaded.
const nodes = {};
let provider;
const WAYS = ["log", "info", "warn", "error", "debug"];
for (const way of WAYS) console[way] = (line) => noted(String(line));
const noted = (line) => {
	const [, found, count] = /odes?(?:\(s\))? placed on \[(\w+)\]\. Number of nodes: (\d+)/.exec(line) ?? [];
	if (found) nodes[(provider = found)] = { count: Number(count), names: [] };
	const [, name] = /VerifyEachNodeIsAssignedToAnEp\] {2,}(\w+ \(.*\))/.exec(line) ?? [];
	if (name) nodes[provider]?.names.push(name);
};

const ARRAYS = { float32: Float32Array, int64: BigInt64Array };
const here = (path) => new URL(path, import.meta.url).href;
let ort, session, results;
let feeds = {};

const commands = {
	async adapter() {
		const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
		if (!adapter) return { adapter: null };
		const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
		const name = description || [vendor, architecture].filter(Boolean).join(" ");
		return { adapter: { name, software: Boolean(isFallbackAdapter) || /swiftshader|llvmpipe/i.test(name + architecture) } };
	},

	async load({ module, provider, model, external, threads, config }) {
		ort = await import(here(`ort/${module}`));
		ort.env.logLevel = "error";
		ort.env.wasm.numThreads = threads;
		ort.env.wasm.wasmPaths = here("ort/");
		session = await ort.InferenceSession.create(here(`model/${model}`), {
			executionProviders: [provider],
			graphOptimizationLevel: "all",
			logSeverityLevel: 0,
			externalData: external.map((path) => ({ path, data: here(`model/${path}`) })),
			extra: { session: config },
		});
		return { inputs: session.inputNames, outputs: session.outputNames, version: ort.env.versions.web };
	},

	async bind({ tensors }) {
		for (const { name, dtype, shape } of tensors) {
			const bytes = await (await fetch(here(`array/${name}`))).arrayBuffer();
			feeds[name] = new ort.Tensor(dtype, new ARRAYS[dtype](bytes), shape);
		}
		return {};
	},

	async run() {
		const begin = performance.now();
		results = await session.run(feeds);
		return { ms: performance.now() - begin };
	},

	async outputs({ names }) {
		for (const name of names) await post(`array/${name}`, results[name].data);
		return { shapes: Object.fromEntries(names.map((name) => [name, [results[name].type, ...results[name].dims]])) };
	},

	async report() {
		const bytes = heaps.reduce((sum, heap) => sum + heap.buffer.byteLength, 0);
		return { heap_bytes: bytes, threads, isolated: crossOriginIsolated, agent: navigator.userAgent, nodes };
	},
};

const post = (path, body) => fetch(here(path), { method: "POST", body });
const failure = (error) => ({ error: String(error?.message ?? error) });

for (;;) {
	const said = await fetch(here("next"));
	if (said.status !== 200) break;
	const { command, ...given } = await said.json();
	await post("done", JSON.stringify(await commands[command](given).catch(failure)));
}
