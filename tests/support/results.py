"""Realistic results without a run: seeded generators of what `bench` writes on a CPU server, an H100 and a
Mac.

The levels are those of FACTS-like measurements (what runs how much faster than what), the noise is log-normal
with a launch effect and some drift, and every statistic is computed from the samples, so a report can be
checked against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from depthport.bench.results.model import Cell, Control, Memory, Phases, Results, Samples, Speedup, Status, Timing

ROUNDS, LAUNCHES = 20, 3


@dataclass(frozen=True)
class Spec:
    """One made-up cell: its axes, its true latency and what else the table should show."""

    format: str
    runtime: str
    device: str
    mode: str
    precision: str
    ms: float
    host_extra: float = 0.01
    error: float = 1e-6
    baseline: bool = False
    status: Status = Status.OK
    reason: str | None = None
    export_s: float | None = None
    load_s: float = 1.0
    first_ms: float | None = None
    host_mib: float = 900.0
    device_mib: float | None = None
    size_mib: float = 110.0
    noise: float = 0.004
    drift: float = 0.0
    advice: tuple[tuple[str, str, str], ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()


def samples(rng: np.random.Generator, spec: Spec, extra: float, n: int) -> Samples:
    """`n` samples of one boundary over the launches, the first two of each launch still warming up."""
    per_launch = max(4, n // LAUNCHES)
    launch_effect = rng.normal(0, spec.noise / 2, LAUNCHES)
    out = Samples(calls_per_sample=max(1, int(20 / spec.ms)))
    clock = 0.0
    for index in range(LAUNCHES * per_launch):
        launch, within = divmod(index, per_launch)
        warm = 1.25 if within == 0 else 1.06 if within == 1 else 1.0
        level = spec.ms * (1 + extra) * np.exp(launch_effect[launch] + rng.normal(0, spec.noise))
        spike = 1.06 if rng.random() < 0.01 else 1.0
        ms = float(level * warm * spike * (1 + spec.drift * clock / 60))
        out.ms.append(ms)
        out.start_s.append(round(clock, 6))
        out.launch.append(launch)
        out.round.append(within * ROUNDS // per_launch)
        out.block.append(index // 5)
        out.steady.append(within >= 2)
        clock += ms * out.calls_per_sample / 1e3 * 4
    return out


def timing(rng: np.random.Generator, spec: Spec, extra: float, n: int, images: int) -> Timing:
    """A Timing whose statistics are those of its samples; the interval is by order statistics."""
    raw = samples(rng, spec, extra, n)
    steady = np.sort([m for m, keep in zip(raw.ms, raw.steady, strict=True) if keep])
    count = len(steady)
    half = 0.98 * np.sqrt(count)
    low, high = max(0, int(count / 2 - half)), min(count - 1, int(count / 2 + half))
    median = float(np.median(steady))

    def percentile(q: int, needed: int) -> float | None:
        return float(np.percentile(steady, q)) if count >= needed else None

    std = float(np.std(steady, ddof=1)) if count > 1 else None
    return Timing(
        median_ms=median,
        ci95_ms=(float(steady[low]), float(steady[high])),
        mean_ms=float(np.mean(steady)),
        std_ms=std,
        min_ms=float(steady[0]),
        p90_ms=percentile(90, 29),
        p95_ms=percentile(95, 59),
        p99_ms=percentile(99, 299),
        n=count,
        img_s=images / median * 1e3,
        samples=raw,
        cv=None if std is None else std / float(np.mean(steady)),
        drift_per_minute=spec.drift or None,
        autocorrelation=0.1,
        steady_state=True,
    )


def parity(error: float, views: int) -> dict[str, Any]:
    return {
        "depth": {"rel_l2": error, "max_abs": error * 8, "abs_rel": error * 0.8, "delta1": 1.0 - min(error, 0.2) / 4},
        "depth_conf": {"rel_l2": error * 0.5},
        "extrinsics": {"rel_l2": error * 0.7, "rotation_deg": error * 3, "translation_deg": error * 5},
        "intrinsics": {"rel_l2": error * 0.3, "fov_deg": error * 2},
        "reference_view": {"equal": error < 0.05 or views < 3},
    }


def cell(spec: Spec, seed: int, shape: tuple[int, int, int, int], model: str, weights: str, n: int) -> Cell:
    """One finished row; a status other than ok leaves every figure null."""
    rng = np.random.default_rng([seed, abs(hash_text(cell_id(spec)))])
    batch, views, height, width = shape
    out = Cell(
        id=cell_id(spec),
        model=model,
        batch=batch,
        views=views,
        height=height,
        width=width,
        weights=weights,
        format=spec.format,
        runtime=spec.runtime,
        device=spec.device,
        mode=spec.mode,
        precision=spec.precision,
        baseline=spec.baseline,
        status=spec.status,
        reason=spec.reason,
        mode_description=spec.description,
        tags=list(spec.tags),
        advice=[{"code": c, "message": m, "advice": a} for c, m, a in spec.advice],
    )
    if spec.status not in (Status.OK, Status.PARITY_FAILED):
        return out
    images = batch * views
    out.timing = {"device": timing(rng, spec, 0.0, n, images), "host": timing(rng, spec, spec.host_extra, n, images)}
    out.phases = Phases(
        export_s=spec.export_s,
        load_s=spec.load_s,
        first_call_ms=spec.first_ms or spec.ms * 1.6,
        warmup_calls=2,
        export_cached=False if spec.export_s else None,
    )
    out.memory = Memory(spec.host_mib, spec.device_mib)
    out.parity = parity(spec.error, views)
    out.accuracy = {
        "abs_rel": 0.071 + spec.error / 4,
        "rmse": 0.31 + spec.error,
        "delta1": 0.952 - min(spec.error, 0.5) / 3,
        "meaningless": weights.startswith("synthetic"),
        "scene": "motorcycle",
        **{
            f"rendered {seed}": {
                "abs_rel": 0.045 + 0.01 * seed + spec.error / 4,
                "rmse": 0.2 + spec.error,
                "delta1": 0.97 - min(spec.error, 0.5) / 3,
                "rotation_deg": 1.3 + spec.error,
            }
            for seed in range(2)
        },
    }
    out.placement = {
        "device": spec.device,
        "details": {"providers": [spec.runtime]},
        "fallback": [],
        "delegated_share": 1.0,
    }
    out.artifact = {
        "key": f"{abs(hash_text(spec.format + spec.precision)):064x}"[:64],
        "size_bytes": int(spec.size_mib * 2**20),
        "versions": {"torch": "2.13.0"},
        "target": {},
        "options": {},
    }
    out.telemetry = {"clock_mhz": 1980, "temperature_c": 54} if spec.device == "cuda" else {"load": 0.1}
    out.launches = LAUNCHES
    return out


def hash_text(text: str) -> int:
    """A stable hash, unlike Python's own."""
    value = 0
    for character in text.encode():
        value = (value * 131 + character) % (2**61 - 1)
    return value


def cell_id(spec: Spec) -> str:
    return "/".join((spec.runtime, spec.device, spec.mode, spec.precision))


def compare_all(cells: Sequence[Cell]) -> None:
    """Fill `speedup` and `rank` as a run does (here: by overlap of the intervals)."""
    base = next((c for c in cells if c.baseline and c.timing), None)
    for boundary in ("device", "host"):
        timed = [c for c in cells if boundary in c.timing]
        timed.sort(key=lambda c: c.timing[boundary].median_ms or 0.0)
        rank, reach = 0, 0.0
        for position, row in enumerate(timed, 1):
            low, high = row.timing[boundary].ci95_ms or (0.0, 0.0)
            if low > reach:
                rank, reach = position, high
            row.rank[boundary] = rank
        if base is None:
            continue
        reference = base.timing[boundary]
        assert reference.median_ms and reference.ci95_ms
        for row in timed:
            own = row.timing[boundary]
            assert own.median_ms and own.ci95_ms
            low, high = reference.ci95_ms[0] / own.ci95_ms[1], reference.ci95_ms[1] / own.ci95_ms[0]
            verdict = (
                "faster"
                if low > 1.02
                else "slower"
                if high < 0.98
                else "equivalent"
                if low > 0.98 and high < 1.02
                else "inconclusive"
            )
            row.speedup[boundary] = Speedup(reference.median_ms / own.median_ms, (low, high), verdict)  # type: ignore[arg-type]


def results(
    environment: dict[str, Any],
    specs: Sequence[Spec],
    *,
    seed: int = 0,
    model: str = "da3-small",
    shape: tuple[int, int, int, int] = (1, 1, 504, 504),
    weights: str = "depth-anything/DA3-SMALL",
    n: int = 90,
    created: str = "2026-03-01T10:00:00+00:00",
    warnings: Sequence[dict[str, str]] = (),
) -> Results:
    """One run of `specs` on one machine."""
    cells = [cell(spec, seed, shape, model, weights, n) for spec in specs]
    compare_all(cells)
    synthetic = weights.startswith("synthetic")
    return Results(
        environment=environment,
        protocol={
            "name": "rigorous",
            "seed": seed,
            "rounds": ROUNDS,
            "launches": LAUNCHES,
            "order": "mirrored",
            "equivalence_margin": 0.02,
            "time_budget_s": 600,
            "regime": "burst",
            "confidence": 0.95,
        },
        inputs={"name": "motorcycle", "count": 4, "sha256": "ab" * 32, "ground_truth": True},
        weights={
            model: {
                "id": weights,
                "sha256": "cd" * 32,
                "synthetic": synthetic,
                "licence": "none (synthetic)" if synthetic else "Apache-2.0",
                "note": "",
            }
        },
        cells=cells,
        controls={
            "aa": Control(1.0008, (0.9971, 1.0042), "equivalent", "equivalent", True),
            "plus5": Control(0.9523, (0.9489, 0.9561), "slower", "slower", True),
        },
        warnings=list(warnings),
        created=created,
    )


CPU_SERVER: dict[str, Any] = {
    "cpu": {"model": "AMD EPYC 7763 64-Core Processor", "microarchitecture": "Zen 3", "usable_cores": 2},
    "memory": {"usable_mib": 23552},
    "system": {"os": "Linux", "release": "6.8"},
    "gpus": [],
    "python": {"version": "3.11.9"},
    "packages": {"torch": "2.13.0+cpu", "onnxruntime": "1.22.0", "depth-anything-3": "0.1.1"},
    "power": {"source": "mains", "low_power_mode": None},
}
H100: dict[str, Any] = {
    "cpu": {"model": "Intel Xeon Platinum 8480C", "usable_cores": 16},
    "memory": {"usable_mib": 131072},
    "system": {"os": "Linux", "release": "6.8"},
    "gpus": [{"name": "NVIDIA H100 80GB HBM3", "memory_mib": 81920, "driver": "580.65", "compute_capability": "9.0"}],
    "python": {"version": "3.11.9"},
    "packages": {"torch": "2.13.0+cu130", "onnxruntime-gpu": "1.22.0"},
    "power": {"source": "mains", "low_power_mode": None},
}
MAC: dict[str, Any] = {
    "cpu": {"model": "Apple M4 Max", "usable_cores": 16},
    "memory": {"usable_mib": 65536},
    "system": {"os": "macOS", "release": "15.5"},
    "gpus": [{"kind": "mps", "name": "Apple M4 Max GPU (40 cores)", "memory_mib": 65536}],
    "python": {"version": "3.12.4"},
    "packages": {"torch": "2.13.0", "coremltools": "9.0"},
    "power": {"source": "mains", "low_power_mode": None},
}

UPSTREAM = "depth_anything_3's own forward, as its users run it"
CPU_SPECS: tuple[Spec, ...] = (
    Spec(
        "pytorch",
        "pytorch",
        "cpu",
        "upstream",
        "fp32",
        9018,
        baseline=True,
        error=0.0,
        noise=0.02,
        load_s=2.4,
        host_mib=1420,
        description=UPSTREAM,
    ),
    Spec(
        "pytorch",
        "pytorch",
        "cpu",
        "eager",
        "fp32",
        5530,
        error=4e-8,
        noise=0.015,
        export_s=22,
        load_s=2.1,
        host_mib=1180,
        description="the static network, eager",
    ),
    Spec(
        "pytorch",
        "pytorch",
        "cpu",
        "compile",
        "fp32",
        4612,
        error=3e-7,
        noise=0.012,
        export_s=22,
        load_s=3.0,
        first_ms=109000,
        host_mib=2350,
        description="torch.compile, fullgraph, Inductor",
    ),
    Spec(
        "onnx",
        "onnxruntime",
        "cpu",
        "default",
        "fp32",
        2366,
        error=2.1e-6,
        noise=0.01,
        export_s=41,
        load_s=1.3,
        host_mib=910,
        description="CPU execution provider, all graph optimisations",
    ),
    Spec(
        "onnx",
        "onnxruntime",
        "cpu",
        "default",
        "int8",
        2052,
        error=0.31,
        noise=0.01,
        export_s=52,
        load_s=0.9,
        host_mib=520,
        size_mib=34,
        status=Status.PARITY_FAILED,
        reason="extrinsics are 0.74 from upstream, int8 allows 0.05",
        description="dynamic int8 MatMul",
    ),
    Spec(
        "openvino",
        "openvino",
        "cpu",
        "latency",
        "fp32",
        2120,
        error=5.4e-6,
        noise=0.011,
        export_s=9,
        load_s=2.8,
        host_mib=980,
        description="OpenVINO, latency hint",
    ),
    Spec(
        "openvino",
        "openvino",
        "cpu",
        "throughput",
        "fp32",
        2131,
        error=5.4e-6,
        noise=0.011,
        export_s=9,
        load_s=2.9,
        host_mib=990,
        advice=(("unstable", "CV 3.1 %, over 2.5 %", "close other programs"),),
        description="OpenVINO, throughput hint",
    ),
    Spec(
        "coreml",
        "coreml",
        "ane",
        "all",
        "fp16",
        0,
        status=Status.UNAVAILABLE,
        reason="Core ML runs on macOS only: run this suite on a Mac and merge the results",
    ),
    Spec("pytorch", "pytorch", "mps", "eager", "fp32", 0, status=Status.UNAVAILABLE, reason="no Apple GPU in this machine"),
    Spec(
        "tensorrt",
        "tensorrt",
        "cuda",
        "default",
        "fp16",
        0,
        status=Status.UNAVAILABLE,
        reason="no NVIDIA GPU in this machine",
    ),
    Spec(
        "executorch", "executorch", "cpu", "xnnpack", "fp32", 0, status=Status.TIMED_OUT, reason="no first call after 600 s"
    ),
)
H100_SPECS: tuple[Spec, ...] = (
    Spec(
        "pytorch",
        "pytorch",
        "cuda",
        "upstream",
        "bf16-mixed",
        79.6,
        baseline=True,
        error=4.2e-3,
        load_s=3.1,
        device_mib=4210,
        host_mib=2300,
        noise=0.012,
        description=UPSTREAM,
        advice=(("host-bound", "enqueueing takes 91 % of the call", "use a CUDA graph"),),
    ),
    Spec(
        "pytorch",
        "pytorch",
        "cuda",
        "upstream",
        "fp32",
        218.2,
        error=0.0,
        load_s=3.1,
        device_mib=5230,
        host_mib=2300,
        description=UPSTREAM,
    ),
    Spec(
        "pytorch",
        "pytorch",
        "cuda",
        "eager",
        "bf16",
        31.8,
        error=6.1e-3,
        load_s=2.2,
        device_mib=2080,
        host_mib=2100,
        description="the static network, eager",
    ),
    Spec(
        "pytorch",
        "pytorch",
        "cuda",
        "graph",
        "bf16",
        30.4,
        error=6.1e-3,
        load_s=2.4,
        first_ms=900,
        device_mib=2480,
        host_mib=2100,
        description="the static network in one CUDA graph",
    ),
    Spec(
        "pytorch",
        "pytorch",
        "cuda",
        "compile",
        "bf16",
        19.9,
        error=5.8e-3,
        load_s=2.5,
        first_ms=68000,
        device_mib=2310,
        host_mib=3900,
        export_s=31,
        noise=0.002,
        description="torch.compile, reduce-overhead, fullgraph",
    ),
    Spec(
        "pytorch",
        "pytorch",
        "cuda",
        "compile",
        "fp16",
        19.95,
        error=8.1e-4,
        load_s=2.5,
        first_ms=66500,
        device_mib=2310,
        host_mib=3900,
        export_s=31,
        noise=0.002,
        description="torch.compile, reduce-overhead, fullgraph",
    ),
    Spec(
        "onnx",
        "onnxruntime",
        "cuda",
        "cuda-ep",
        "fp16",
        77.7,
        error=9.4e-4,
        load_s=4.8,
        device_mib=3890,
        host_mib=4300,
        export_s=60,
        host_extra=0.03,
        size_mib=690,
        description="CUDA execution provider; 4 nodes copy to the host",
        advice=(("transfer-bound", "4 Memcpy nodes a call", "see the placement"),),
    ),
    Spec(
        "onnx",
        "onnxruntime",
        "cuda",
        "cuda-ep",
        "bf16",
        0,
        status=Status.LOAD_FAILED,
        reason="ConvTranspose has no bf16 kernel in the CUDA provider",
    ),
    Spec(
        "tensorrt",
        "tensorrt",
        "cuda",
        "default",
        "bf16",
        17.4,
        error=7.7e-3,
        load_s=1.9,
        first_ms=210,
        device_mib=1770,
        host_mib=1900,
        export_s=412,
        size_mib=705,
        noise=0.002,
        description="strongly typed engine, builder level 3",
    ),
    Spec(
        "tensorrt-rtx",
        "tensorrt-rtx",
        "cuda",
        "default",
        "fp16",
        0,
        status=Status.UNSUPPORTED,
        reason="TensorRT for RTX refuses Hopper (sm_90)",
    ),
    Spec(
        "pytorch",
        "pytorch",
        "cuda",
        "compile",
        "fp8",
        20.5,
        error=0.061,
        load_s=2.6,
        first_ms=70100,
        device_mib=2010,
        host_mib=3900,
        export_s=33,
        description="row-wise fp8 linears",
    ),
)
MAC_SPECS: tuple[Spec, ...] = (
    Spec(
        "pytorch",
        "pytorch",
        "mps",
        "upstream",
        "fp32",
        4990,
        baseline=True,
        error=2e-5,
        noise=0.01,
        load_s=2.0,
        device_mib=6100,
        description=UPSTREAM,
    ),
    Spec("pytorch", "pytorch", "mps", "eager", "bf16", 1710, error=7e-3, noise=0.01, load_s=1.6, device_mib=2500),
    Spec(
        "coreml",
        "coreml",
        "ane",
        "all",
        "fp16",
        940,
        error=2.4e-3,
        noise=0.006,
        load_s=6.1,
        export_s=90,
        device_mib=None,
        host_mib=1300,
        size_mib=640,
    ),
    Spec(
        "coreml",
        "coreml",
        "mps",
        "gpu",
        "fp16",
        1010,
        error=2.4e-3,
        noise=0.006,
        load_s=5.1,
        export_s=90,
        host_mib=1300,
        size_mib=640,
    ),
)


def cpu_server(**changes: Any) -> Results:
    """The CPU server: a fp32 race, one parity failure, three cells no such machine can run, one time-out."""
    return results(CPU_SERVER, CPU_SPECS, **{"n": 60, **changes})


def h100(**changes: Any) -> Results:
    """The H100: da3-large, 5 views, two cells that tie for the second place, one load failure."""
    return results(
        H100,
        H100_SPECS,
        **{
            "model": "da3-large",
            "shape": (1, 5, 504, 504),
            "weights": "depth-anything/DA3-LARGE",
            "n": 240,
            "created": "2026-03-02T09:30:00+00:00",
            **changes,
        },
    )


def mac(**changes: Any) -> Results:
    """A Mac with GPU and neural engine."""
    return results(
        MAC,
        MAC_SPECS,
        **{
            "model": "da3-large",
            "shape": (1, 5, 504, 504),
            "weights": "depth-anything/DA3-LARGE",
            "n": 60,
            "created": "2026-03-03T08:00:00+00:00",
            **changes,
        },
    )


def synthetic(**changes: Any) -> Results:
    """The CPU server with synthetic weights, which every page of a report must say."""
    warning = {"code": "synthetic-weights", "message": "weights are synthetic:0", "advice": "give --weights"}
    return cpu_server(**{"weights": "synthetic:0", "warnings": [warning], **changes})


def many(cells: int = 500, n: int = 200) -> Results:
    """A run of `cells` × `n` samples, for size and speed."""
    runtimes = ("pytorch", "onnxruntime", "tensorrt", "openvino", "executorch", "ncnn", "mnn", "tvm")
    specs = [
        Spec(
            "pytorch",
            runtimes[i % len(runtimes)],
            "cpu" if i % 3 else "cuda",
            f"mode-{i // 24}",
            ("fp32", "fp16", "bf16", "int8")[i // 8 % 4],
            20 * 1.006**i,
            error=10 ** (-7 + i % 50 / 10),
            baseline=i == 0,
            device_mib=None if i % 3 else 1000 + i,
            host_mib=800 + 3 * i,
            export_s=5 + i / 10,
        )
        for i in range(cells)
    ]
    return results(H100, specs, model="da3-base", n=n)


def draw_pictures(results: Results, folder: Path) -> Results:
    """Write a made-up depth and error picture for every timed cell beside the results, as `bench` does."""
    from PIL import Image

    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:252, 0:336] / 252
    depth = 0.6 + 0.35 * np.sin(3 * x + y) * np.cos(4 * y) + 0.3 * ((x - 0.8) ** 2 + (y - 0.5) ** 2 < 0.06)
    for number, row in enumerate(c for c in results.cells if c.timing):
        rng = np.random.default_rng(number)
        error = np.abs(rng.normal(0, 1, depth.shape)) * (0.2 + depth) * (row.parity or {})["depth"]["rel_l2"] ** 0.5
        for kind, values in (("depth", depth + error * 0.3), ("error", error / max(float(error.max()), 1e-9))):
            name = f"pictures/{number}-{kind}.png"
            scaled = np.clip(values / values.max() if values.max() > 0 else values, 0, 1)
            ramp = np.stack([scaled, 1 - np.abs(scaled - 0.5) * 2, 1 - scaled], axis=-1)
            Image.fromarray((ramp * 255).astype(np.uint8)).save(folder / name)
            row.pictures[kind] = name
    return results


@dataclass
class Hostile:
    """Names and values a stranger's file may carry; all of it must show up as text or not at all."""

    names: tuple[str, ...] = field(
        default=(
            "<script>window.pwned=1</script>",
            "</script><script>window.pwned=2</script>",
            "<img src=x onerror=pwned=3>",
            "a|b\n| c | d |",
            "[x](javascript:alert(1))",
            "![x](http://example.org/t.png)",
            "`code` **bold** _it_",
            "\u2028\u2029 line",
            "\x1b[31mred\x1b[0m",
            "[red]rich[/red]",
            "\u202egnp.exe",
            "\ud800",
            "<!--",
            "]]>",
            "x" * 5000,
            "${7*7}{{7*7}}",
            "$(touch pwned)`touch pwned`'\";touch pwned;",
            "../../etc/passwd",
            "__proto__",
            "constructor",
        )
    )


def hostile() -> dict[str, Any]:
    """The JSON form of a run whose every text is an attack and whose numbers are none."""
    import json

    data: dict[str, Any] = json.loads(json.dumps(cpu_server(n=12).to_json()))
    names = Hostile().names
    for index, row in enumerate(data["cells"]):
        for position, key in enumerate(("id", "model", "format", "runtime", "device", "mode", "precision", "weights")):
            row[key] = names[(index + position) % len(names)]
        row["reason"] = names[(index + 3) % len(names)]
        row["mode_description"] = names[(index + 5) % len(names)]
        row["pictures"] = {"depth": "../../../etc/passwd", "error": "/etc/passwd", names[0]: "http://example.org/x.png"}
        row["advice"] = [{"code": names[0], "message": names[1], "advice": names[2]}]
        row["placement"] = {names[0]: {names[1]: [names[2], float("nan")]}}
        row["parity"] = {"depth": {"rel_l2": float("nan"), "max_abs": names[0]}, names[0]: {"rel_l2": -1}}
        row["accuracy"] = {"abs_rel": "NaN", "__proto__": {"polluted": True}}
        for block in row["timing"].values():
            block["median_ms"] = (float("nan"), float("inf"), -1.0, "5", None, 1e308)[index % 6]
            block["samples"]["ms"] = [float("nan"), -1.0, 0.0, 1e308, 1e-308, 5.0, "x"]
            block["samples"]["start_s"] = [float("inf")] * 7
    data["environment"] = {
        names[0]: names[1],
        "cpu": {"model": names[2], "usable_cores": float("nan")},
        "memory": names[1],
        "system": [names[0]],
        "gpus": [{"name": names[3], "driver": names[0]}, "x", None],
        "packages": {names[0]: names[1]},
        "hostname": "secret-host",
        "user": "secret-user",
    }
    data["protocol"] = {names[0]: names[1], "name": names[2]}
    data["warnings"] = [{"code": names[0], "message": names[1], "advice": names[3]}, "x", None, 5]
    data["controls"] = {names[0]: {"ratio": "x"}, "aa": None}
    data["weights"] = {names[1]: names[2], "da3-small": {"id": names[0], "synthetic": "yes"}}
    data["created"] = names[1]
    data["cells"] += ["x", None, 5, {}, {"id": "a"}]
    return data
