"""Results of runs nobody timed: what `bench` finds on a CPU server, an H100 and a Mac whose cells these rows describe.

The levels are those of recorded runs (what runs how much faster than what). Everything computed from them, intervals,
verdicts, ranks, controls, parity, advice, is the real analysis's (tests/support/simulated_run.py).
"""

from __future__ import annotations

import copy
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from depthport.bench.plan.schedule import Order
from depthport.bench.results.model import Results, Status
from depthport.bench.results.sections import PowerSection
from depthport.bench.studies.simulated_clock import Clock, Sampling
from tests.support.simulated_run import Machine, Row, Workload, simulate

FEW = Sampling(2, 1, 3, Order.MIRRORED)
"""12 samples a boundary, and 2 warm-up calls of each launch."""
SOME = Sampling(5, 3, 2, Order.MIRRORED)
"""60 samples."""
MANY = Sampling(5, 6, 4, Order.MIRRORED)
"""240 samples."""

POWER: PowerSection = {"source": "mains", "low_power_mode": None}
CPU_SERVER = Machine(
    {
        "cpu": {"model": "AMD EPYC 7763 64-Core Processor", "microarchitecture": "Zen 3", "usable_cores": 2},
        "memory": {"usable_mib": 23552},
        "system": {"os": "Linux", "release": "6.8"},
        "gpus": [],
        "python": {"version": "3.11.9"},
        "packages": {"torch": "2.13.0+cpu", "onnxruntime": "1.22.0", "depth-anything-3": "0.1.1"},
        "power": POWER,
    },
    Clock(drift=0.01, correlated=0.005, white=0.01, launch=0.003),
)
H100 = Machine(
    {
        "cpu": {"model": "Intel Xeon Platinum 8480C", "usable_cores": 16},
        "memory": {"usable_mib": 131072},
        "system": {"os": "Linux", "release": "6.8"},
        "gpus": [{"name": "NVIDIA H100 80GB HBM3", "memory_mib": 81920, "driver": "580.65", "compute_capability": "9.0"}],
        "python": {"version": "3.11.9"},
        "packages": {"torch": "2.13.0+cu130", "onnxruntime-gpu": "1.22.0"},
        "power": POWER,
    },
    Clock(drift=0.0, correlated=0.001, white=0.003, launch=0.001),
    {"index": 0, "name": "NVIDIA H100 80GB HBM3", "sm_clock_mhz": 1980, "temperature_c": 54, "throttle_reasons": []},
)
MAC = Machine(
    {
        "cpu": {"model": "Apple M4 Max", "usable_cores": 16},
        "memory": {"usable_mib": 65536},
        "system": {"os": "macOS", "release": "15.5"},
        "gpus": [{"kind": "mps", "name": "Apple M4 Max GPU (40 cores)", "memory_mib": 65536}],
        "python": {"version": "3.12.4"},
        "packages": {"torch": "2.13.0", "coremltools": "9.0"},
        "power": POWER,
    },
    Clock(drift=0.01, correlated=0.002, white=0.008, launch=0.002),
)

UPSTREAM = "depth_anything_3's own forward, as its users run it"
EAGER = "the static network, eager"
ELSEWHERE = Status.UNAVAILABLE
# fmt: off
CPU_ROWS = (
    Row("pytorch", "pytorch", "cpu", "upstream", "fp32", 9018, load_s=2.4, host_mib=1420, baseline=True,
        description=UPSTREAM),
    Row("pytorch", "pytorch", "cpu", "eager", "fp32", 5530, 4e-8, export_s=22, load_s=2.1, host_mib=1180,
        description=EAGER),
    Row("pytorch", "pytorch", "cpu", "compile", "fp32", 4612, 3e-7, export_s=22, load_s=3.0, first_ms=109000,
        host_mib=2350, description="torch.compile, fullgraph, Inductor"),
    Row("onnx", "onnxruntime", "cpu", "default", "fp32", 2366, 2.1e-6, export_s=41, load_s=1.3, host_mib=910,
        description="CPU execution provider, all graph optimisations"),
    # Too far from upstream for its precision: the analysis says so.
    Row("onnx", "onnxruntime", "cpu", "default", "int8", 2052, 0.31, export_s=52, load_s=0.9, host_mib=520, size_mib=34,
        description="dynamic int8 MatMul"),
    Row("openvino", "openvino", "cpu", "latency", "fp32", 2120, 5.4e-6, export_s=9, load_s=2.8, host_mib=980,
        description="OpenVINO, latency hint"),
    Row("openvino", "openvino", "cpu", "throughput", "fp32", 2131, 5.4e-6, export_s=9, load_s=2.9, host_mib=990,
        description="OpenVINO, throughput hint"),
    Row("coreml", "coreml", "ane", "all", "fp16",
        failed=(ELSEWHERE, "Core ML runs on macOS only: run this suite on a Mac and merge the results")),
    Row("pytorch", "pytorch", "mps", "eager", "fp32", failed=(ELSEWHERE, "no Apple GPU in this machine")),
    Row("tensorrt", "tensorrt", "cuda", "default", "fp16", failed=(ELSEWHERE, "no NVIDIA GPU in this machine")),
    Row("executorch", "executorch", "cpu", "xnnpack", "fp32", failed=(Status.TIMED_OUT, "no first call after 600 s")),
)
H100_ROWS = (
    Row("pytorch", "pytorch", "cuda", "upstream", "bf16-mixed", 79.6, 4.2e-3, load_s=3.1, host_mib=2300, device_mib=4210,
        enqueue=0.91, baseline=True, description=UPSTREAM),
    Row("pytorch", "pytorch", "cuda", "upstream", "fp32", 218.2, load_s=3.1, host_mib=2300, device_mib=5230,
        description=UPSTREAM),
    Row("pytorch", "pytorch", "cuda", "eager", "bf16", 31.8, 6.1e-3, load_s=2.2, host_mib=2100, device_mib=2080,
        description=EAGER),
    Row("pytorch", "pytorch", "cuda", "graph", "bf16", 30.4, 6.1e-3, load_s=2.4, first_ms=900, host_mib=2100,
        device_mib=2480, description="the static network in one CUDA graph"),
    # These two tie for the second place.
    Row("pytorch", "pytorch", "cuda", "compile", "bf16", 19.9, 5.8e-3, export_s=31, load_s=2.5, first_ms=68000,
        host_mib=3900, device_mib=2310, description="torch.compile, reduce-overhead, fullgraph"),
    Row("pytorch", "pytorch", "cuda", "compile", "fp16", 19.95, 8.1e-4, export_s=31, load_s=2.5, first_ms=66500,
        host_mib=3900, device_mib=2310, description="torch.compile, reduce-overhead, fullgraph"),
    Row("onnx", "onnxruntime", "cuda", "cuda-ep", "fp16", 77.7, 9.4e-4, host_extra=0.6, export_s=60, load_s=4.8,
        host_mib=4300, device_mib=3890, size_mib=690, description="CUDA execution provider; 4 nodes copy to the host"),
    Row("onnx", "onnxruntime", "cuda", "cuda-ep", "bf16",
        failed=(Status.LOAD_FAILED, "ConvTranspose has no bf16 kernel in the CUDA provider")),
    Row("tensorrt", "tensorrt", "cuda", "default", "bf16", 17.4, 7.7e-3, export_s=412, load_s=1.9, first_ms=210,
        host_mib=1900, device_mib=1770, size_mib=705, description="strongly typed engine, builder level 3"),
    Row("tensorrt-rtx", "tensorrt-rtx", "cuda", "default", "fp16",
        failed=(Status.UNSUPPORTED, "TensorRT for RTX refuses Hopper (sm_90)")),
    Row("pytorch", "pytorch", "cuda", "compile", "fp8", 20.5, 0.061, export_s=33, load_s=2.6, first_ms=70100,
        host_mib=3900, device_mib=2010, description="row-wise fp8 linears"),
)
MAC_ROWS = (
    Row("pytorch", "pytorch", "mps", "upstream", "fp32", 4990, 2e-5, load_s=2.0, device_mib=6100, baseline=True,
        description=UPSTREAM),
    Row("pytorch", "pytorch", "mps", "eager", "bf16", 1710, 7e-3, load_s=1.6, device_mib=2500, description=EAGER),
    Row("coreml", "coreml", "ane", "all", "fp16", 940, 2.4e-3, export_s=90, load_s=6.1, host_mib=1300, size_mib=640),
    Row("coreml", "coreml", "mps", "gpu", "fp16", 1010, 2.4e-3, export_s=90, load_s=5.1, host_mib=1300, size_mib=640),
)
# fmt: on

LARGE = Workload("da3-large", (1, 5, 504, 504), "depth-anything/DA3-LARGE")


def results(
    machine: Machine,
    rows: tuple[Row, ...],
    workload: Workload | None = None,
    sampling: Sampling = SOME,
    *,
    seed: int = 0,
    created: str = "2026-03-01T10:00:00+00:00",
    out: Path | None = None,
) -> Results:
    """One run of `rows`; in `out` it leaves its pictures."""
    workload = workload or Workload()
    if out is not None:
        return simulate(machine, rows, workload, sampling, seed, created, out)
    return copy.deepcopy(_kept(machine, rows, workload, sampling, seed, created))


@cache
def _kept(
    machine: Machine, rows: tuple[Row, ...], workload: Workload, sampling: Sampling, seed: int, created: str
) -> Results:
    """A run whose pictures nobody wants; tests change what they get, so they get copies."""
    with tempfile.TemporaryDirectory() as folder:
        return simulate(machine, rows, workload, sampling, seed, created, Path(folder) / "run")


def cpu_server(sampling: Sampling = SOME, **changes: Any) -> Results:
    """The CPU server: a fp32 race, one parity failure, three cells no such machine can run, one time-out."""
    return results(CPU_SERVER, CPU_ROWS, sampling=sampling, **changes)


def h100(rows: tuple[Row, ...] = H100_ROWS, created: str = "2026-03-02T09:30:00+00:00", **changes: Any) -> Results:
    """The H100: da3-large, 5 views, two cells that tie for the second place, one load failure."""
    return results(H100, rows, LARGE, MANY, created=created, **changes)


def mac(**changes: Any) -> Results:
    """A Mac with GPU and neural engine."""
    return results(MAC, MAC_ROWS, LARGE, created="2026-03-03T08:00:00+00:00", **changes)


def synthetic(**changes: Any) -> Results:
    """The CPU server with synthetic weights, which every page of a report must say."""
    return cpu_server(workload=Workload(weights="synthetic:0"), **changes)


def many() -> Results:
    """500 cells of 200 samples, for size and speed: 25 cells in 20 modes, each mode with the figures of the first."""
    runtimes = ("pytorch", "onnxruntime", "tensorrt", "openvino", "executorch", "ncnn", "mnn", "tvm")
    rows = tuple(
        Row(
            "pytorch",
            runtimes[i % len(runtimes)],
            "cpu" if i % 3 else "cuda",
            "mode-0",
            ("fp32", "fp16", "bf16", "int8")[i // 8 % 4],
            20 * 1.15**i,
            error=10 ** (-7 + i / 5),
            baseline=i == 0,
            device_mib=None if i % 3 else 1000.0 + i,
            host_mib=800.0 + 75 * i,
            export_s=5 + i / 10,
        )
        for i in range(25)
    )
    run = results(H100, rows, Workload("da3-base"), Sampling(2, 1, 50, Order.MIRRORED))
    copies = [
        msgspec.structs.replace(
            cell, id=cell.id.replace("mode-0", f"mode-{mode}"), mode=f"mode-{mode}", baseline=cell.baseline and not mode
        )
        for mode in range(20)
        for cell in run.cells
    ]
    return msgspec.structs.replace(run, cells=copies)
