"""The record of the pipeline boundary on one NVIDIA GPU: from JPEG files to depth and poses, upstream's `inference` and ours.

    python bench/records/pipeline.py OUT [--seconds 480]

Writes OUT/rows.jsonl as it goes and prints tables. Every phase is a process of its own with a time limit of its own; a phase
that fails or takes too long costs its own rows. Photographs are scikit-image's, scaled: 1440×1440, as many pixels as 1080p,
which upstream's resize makes 504×504; and 1920×1080, which it makes 504×280. Weights are random (`synthetic:0`): times and
losses mean something, depth does not.

* `latency`: one scene alone, from files in memory to numpy arrays. Blocks of upstream, ours and the network take turns.
* `stream`: scene after scene, from the first file to the last array. Upstream's `inference` has no overlap: its users loop.
* `network`: our artifact's own run, inputs and outputs on the device: what a pipeline can reach at best.

Upstream is `depthport.exporters.da3.processors.UpstreamInference`: its own processors and network, called as its `inference`
calls them, because its API module can't be imported without packages that inference does not use.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 8
"""That decode, at most."""
PHOTOGRAPHS = 24
SQUARE, WIDE = (1440, 1440), (1080, 1920)
"""Height and width."""
PHASE_LIMITS_S = {"photographs": 60, "exports": 200, "decode": 60, "views-1": 120, "views-5": 120, "wide": 100}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--phase", choices=[*PHASE_LIMITS_S, "export"])
    parser.add_argument("--seconds", type=float, default=480.0, help="for all phases together")
    parser.add_argument("--model", default="da3-large")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, nargs=2, default=(504, 504), help="of the square photographs, for the network")
    parser.add_argument("--wide-size", type=int, nargs=2, default=(280, 504))
    parser.add_argument("--block", type=float, default=1.5, help="seconds of calls in a block")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--views", type=int)
    parser.add_argument("--source", type=int, nargs=2)
    parser.add_argument("--to", type=int, nargs=2)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    given.store = given.out / "artifacts"
    if given.phase is None:
        run_phases(given)
        return
    {
        "photographs": make_photographs, "exports": export_all, "export": export_one, "decode": measure_decoders,
        "views-1": lambda a: measure(a, 1, SQUARE, tuple(a.size)), "views-5": lambda a: measure(a, 5, SQUARE, tuple(a.size)),
        "wide": lambda a: measure(a, 1, WIDE, tuple(a.wide_size)),
    }[given.phase](given)  # fmt: skip


def run_phases(given: argparse.Namespace) -> None:
    """Each phase within its limit and what is left of the whole; then the tables."""
    end = time.monotonic() + given.seconds
    (given.out / "rows.jsonl").write_text("")
    for phase, limit in PHASE_LIMITS_S.items():
        left = end - time.monotonic()
        if left < 10:
            note(given, phase, "not begun, out of time")
            continue
        began = time.monotonic()
        try:
            code = subprocess.run([*command(), "--phase", phase], timeout=min(limit, left), check=False).returncode
            said = "done" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            said = "out of time"
        note(given, phase, f"{said}, {time.monotonic() - began:.0f} s")
    print_tables([json.loads(line) for line in (given.out / "rows.jsonl").read_text().splitlines()])


def command() -> list[str]:
    return [sys.executable, *sys.argv]


def note(given: argparse.Namespace, phase: str, said: str) -> None:
    keep(given, phase=phase, said=said)


def keep(given: argparse.Namespace, **row: Any) -> None:
    """Write a row, at once."""
    line = json.dumps(row)
    print(line, flush=True)
    with (given.out / "rows.jsonl").open("a") as rows:
        rows.write(line + "\n")


# -- what is measured


def make_photographs(given: argparse.Namespace) -> None:
    """JPEG files of both sizes: windows of scikit-image's photographs, mirrored and scaled, quality 92, 4:2:0."""
    from PIL import Image

    from depthport.bench.inputs.photographs import motorcycle, single

    originals = [camera.rgb for camera in motorcycle().cameras]
    originals += [single(name).cameras[0].rgb for name in ("astronaut", "coffee", "chelsea", "rocket")]
    for height, width in (SQUARE, WIDE):
        folder = given.out / f"{height}x{width}"
        folder.mkdir(exist_ok=True)
        sizes = []
        for index in range(PHOTOGRAPHS):
            rgb = originals[index % len(originals)]
            rgb = rgb[:, ::-1] if index // len(originals) % 2 else rgb
            h, w = rgb.shape[:2]
            share = 0.75 + 0.25 * ((index * 0.618) % 1)
            wide = min(w, h * width / height) * share
            tall = wide * height / width
            left, top = (w - wide) * ((index * 0.755) % 1), (h - tall) * ((index * 0.57) % 1)
            image = Image.fromarray(np.ascontiguousarray(rgb))
            image = image.resize((width, height), Image.Resampling.LANCZOS, (left, top, left + wide, top + tall))
            written = io.BytesIO()
            image.save(written, "JPEG", quality=92)
            (folder / f"{index:02d}.jpg").write_bytes(written.getvalue())
            sizes.append(len(written.getvalue()))
        keep(given, photographs=f"{height}x{width}", count=PHOTOGRAPHS, median_kb=round(statistics.median(sizes) / 1e3))


def photographs(given: argparse.Namespace, size: tuple[int, int]) -> list[bytes]:
    return [path.read_bytes() for path in sorted((given.out / f"{size[0]}x{size[1]}").glob("*.jpg"))]


def wanted(given: argparse.Namespace) -> list[tuple[int, tuple[int, int] | None, tuple[int, int]]]:
    """(views, source size, size) of the artifacts: pixels in, and pixels of the photographs in."""
    square, wide = tuple(given.size), tuple(given.wide_size)
    return [(1, None, square), (1, SQUARE, square), (5, None, square), (5, SQUARE, square), (1, None, wide), (1, WIDE, wide)]


def export_all(given: argparse.Namespace) -> None:
    """All artifacts side by side, a process each."""
    began, running = time.monotonic(), []
    for views, source, size in wanted(given):
        line = [*command(), "--phase", "export", "--views", str(views), "--to", *map(str, size)]
        line += ["--source", *map(str, source)] if source else []
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        running.append(subprocess.Popen([part for part in line if part != "exports"], env=environment))
        if given.device == "cpu":
            running[-1].wait()
    codes = [process.wait() for process in running]
    keep(given, exports=len(codes), failed=sum(code != 0 for code in codes), seconds=round(time.monotonic() - began))


def export_one(given: argparse.Namespace) -> None:
    artifact(given, given.views, tuple(given.source) if given.source else None, tuple(given.to))


def artifact(given: argparse.Namespace, views: int, source: tuple[int, int] | None, size: tuple[int, int]) -> Path:
    """Exported, or found: target `cuda` where there is such a device, the portable program elsewhere."""
    from depthport.exporters.api import export
    from depthport.exporters.core.store import ArtifactStore

    cuda = given.device != "cpu"
    stored = export(
        given.model, format="pytorch", target="cuda" if cuda else None, precision="bf16-fp16" if cuda else "fp32", views=views,
        height=size[0], width=size[1], preprocess=True, source_size=source, weights="synthetic:0",
        store=ArtifactStore(given.store),
    )  # fmt: skip
    return stored.artifact.path


# -- how


def blocks(seconds: float, call: Callable[[int], object]) -> list[float]:
    """Milliseconds of calls one after the other for some time, three at least; the first does not count."""
    call(0)
    found: list[float] = []
    begin = time.perf_counter()
    while len(found) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        call(len(found) + 1)
        found.append(1e3 * (time.perf_counter() - start))
    return found


def measure_decoders(given: argparse.Namespace) -> None:
    """Images a second of every decoder at hand, alone and in up to eight threads."""
    import cv2
    from PIL import Image

    from depthport.exporters.inputs.images import decode_image

    cv2.setNumThreads(1)
    files = photographs(given, SQUARE)
    decoders: dict[str, Callable[[bytes], object]] = {
        "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
        "ours (OpenCV)": lambda data: decode_image(data, "x"),
        "resize to 504 (OpenCV)": lambda data, rgb=decode_image(files[0], "x"): cv2.resize(
            rgb, (504, 504), interpolation=cv2.INTER_AREA
        ),
    }
    try:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg
    except ImportError as error:
        keep(given, decoder="torchvision", said=f"not here: {error}")
    else:
        torch.set_num_threads(1)
        decoders["torchvision (CPU)"] = lambda data: decode_jpeg(
            torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB
        )
    for name, decode in decoders.items():
        for threads in (1, 2, 4, THREADS):
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(decode, files[:threads]))
                begin = time.perf_counter()
                count = 2 * threads if threads > 2 else 4
                list(pool.map(decode, itertools.islice(itertools.cycle(files), 4 * count)))
                took = time.perf_counter() - begin
            keep(given, decoder=name, threads=threads, img_s=round(4 * count / took, 1))
    decoder = device_decoder(given)
    if decoder is None:
        keep(given, decoder="nvJPEG", said="not here")
        return
    for batch in (1, 2, 5, 8, 16):

        def call(turn: int, batch: int = batch) -> None:
            chosen = [files[(turn + index) % len(files)] for index in range(batch)]
            for one in decoder(chosen):
                one.ready.synchronize()

        took = blocks(1.0, call)
        keep(given, decoder="nvJPEG", batch=batch, ms=round(statistics.median(took), 3),
             img_s=round(1e3 * batch / statistics.median(took), 1))  # fmt: skip


def device_decoder(given: argparse.Namespace) -> Any:
    import torch

    from depthport.runtimes.pytorch.nvjpeg import nvjpeg

    return nvjpeg(torch.device(given.device)) if given.device != "cpu" else None


def measure(given: argparse.Namespace, views: int, photograph: tuple[int, int], size: tuple[int, int]) -> None:
    """Latency, then streams, of upstream and ours for scenes of so many views."""
    import cv2
    import torch

    from depthport.exporters.da3.build import named_upstream
    from depthport.exporters.da3.processors import UpstreamInference
    from depthport.predict.model import load

    files = photographs(given, photograph)
    scenes = [[files[(turn * views + view) % len(files)] for view in range(views)] for turn in range(len(files))]
    device = torch.device(given.device)
    torch.backends.cudnn.benchmark = False
    network = named_upstream(given.model, "synthetic:0").to(device)
    upstream = UpstreamInference(network, device, torch.bfloat16 if device.type == "cuda" else None)
    mode = "fused" if device.type == "cuda" else None
    pixels = load(artifact(given, views, None, size), runtime="pytorch", device=given.device, mode=mode)
    sources = load(artifact(given, views, photograph, size), runtime="pytorch", device=given.device, mode=mode)
    label = {"views": views, "photograph": "x".join(map(str, photograph)), "size": "x".join(map(str, size))}
    with pixels, sources:
        cpu, resized = pixels(scenes[0], oriented=False), sources(scenes[0], oriented=False)
        check = upstream(scenes[0], max(size), size)
        raw = upstream._before([image(one) for one in scenes[0]], None, None, max(size), "upper_bound_resize")[0].numpy()
        keep(given, **label, parity="pixels of the CPU path against upstream's", equal=bool(np.array_equal(ours(cpu), raw)))
        keep(given, **label, parity="resize in the graph against resize on the CPU", **loss(resized, cpu))
        keep(given, **label, parity="ours on the CPU path against upstream's autocast", **loss(cpu, check))
        decodes = sources.place.device.name != "cpu" and device_decoder(given) is not None
        if decodes:
            on_device = [sources(scene, oriented=False, decoder="device") for scene in scenes[:8]]
            on_cpu = [sources(scene, oriented=False) for scene in scenes[:8]]
            assert on_device[0].placement["decoded"] == "device"
            each = [loss(a, b) for a, b in zip(on_device, on_cpu, strict=True)]
            worst = {name: max(one[name] for one in each) for name in each[0]}
            keep(given, **label, parity="decoded by nvJPEG against decoded by the CPU, worst of 8 scenes", **worst)
        session, _ = pixels._ready(pixels._fixed)  # type: ignore[arg-type]

        def network_alone(turn: int) -> None:
            session.run()
            session.synchronize()

        calls: dict[str, Callable[[int], object]] = {
            "upstream": lambda turn: upstream(scenes[turn % len(scenes)], max(size), size),
            "ours, CPU decode and resize": lambda turn: pixels(scenes[turn % len(scenes)], oriented=False),
            "network": network_alone,
        }
        if decodes:
            calls["ours, CPU decode, GPU resize"] = lambda turn: sources(scenes[turn % len(scenes)], oriented=False)
            calls["ours, nvJPEG, GPU resize"] = lambda turn: sources(
                scenes[turn % len(scenes)], oriented=False, decoder="device"
            )
        cv2.setNumThreads(THREADS)
        samples: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(given.rounds):
            for name, call in calls.items():
                samples[name] += blocks(given.block, call)
        for name, taken in samples.items():
            spread = [round(value, 3) for value in np.percentile(taken, (5, 95))]
            keep(given, **label, latency=name, ms=round(statistics.median(taken), 3), p5_p95=spread, n=len(taken))
        stages = {name: round(value / 1e6, 2) for name, value in upstream.stages_ns.items()}
        keep(given, **label, stages="upstream, one call", **stages)
        # A thread of the pool decodes and resizes: OpenCV's own would come on top of the eight.
        cv2.setNumThreads(1)
        streams: dict[str, Callable[[], Iterator[Any]]] = {
            "ours, CPU decode and resize": lambda: pixels.stream(endless(scenes), oriented=False, threads=THREADS),
        }
        if decodes:
            streams["ours, CPU decode, GPU resize"] = lambda: sources.stream(
                endless(scenes), oriented=False, threads=THREADS, images=False
            )
            streams["ours, nvJPEG, GPU resize"] = lambda: sources.stream(
                endless(scenes), oriented=False, threads=THREADS, images=False, decoder="device"
            )
        rates: dict[str, list[float]] = {name: [] for name in streams}
        for _ in range(given.rounds):
            for name, stream in streams.items():
                rates[name].append(rate(stream(), given.block, views))
        best = {"upstream": 1e3 * views / statistics.median(samples["upstream"])}
        best["network"] = 1e3 * views / statistics.median(samples["network"])
        for name, found in rates.items():
            keep(given, **label, stream=name, img_s=round(statistics.median(found), 2), rounds=[round(r, 2) for r in found],
                 times_upstream=round(statistics.median(found) / best["upstream"], 2),
                 of_network=round(statistics.median(found) / best["network"], 3))  # fmt: skip
        for name, value in best.items():
            keep(given, **label, stream=f"{name} (a loop of calls)", img_s=round(value, 2))


def rate(stream: Iterator[Any], seconds: float, views: int) -> float:
    """Images a second of a stream that is under way."""
    for _ in range(6):
        assert next(stream).error is None
    begin, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - begin < seconds:
        assert next(stream).error is None
        count += 1
    took = time.perf_counter() - begin
    stream.close()  # type: ignore[attr-defined]
    return count * views / took


def endless(scenes: Sequence[Any]) -> Iterator[Any]:
    return itertools.cycle(scenes)


def image(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data))


def ours(prediction: Any) -> np.ndarray:
    from depthport.exporters.inputs.preprocess import normalise

    return normalise(prediction.processed_images)


def loss(found: Any, expected: Any) -> dict[str, float]:
    """How far a prediction is from another: relative L2, and degrees of rotation."""

    def relative(a: Any, b: Any) -> float:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return float(f"{np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30):.3g}")

    turns = [a[:, :3].astype(np.float64) @ b[:, :3].T for a, b in zip(found.extrinsics, expected.extrinsics, strict=True)]
    angle = max(float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))) for turn in turns)
    return {
        "depth": relative(found.depth, expected.depth),
        "conf": relative(found.conf, expected.conf),
        "extrinsics": relative(found.extrinsics[:, :3], expected.extrinsics[:, :3]),
        "intrinsics": relative(found.intrinsics, expected.intrinsics),
        "rotation_deg": float(f"{angle:.3g}"),
    }


# -- what is shown


def print_tables(rows: Sequence[dict[str, Any]]) -> None:
    """The rows as Markdown."""
    for kind in ("decoder", "parity", "latency", "stages", "stream"):
        found = [row for row in rows if kind in row]
        if found:
            names = list(dict.fromkeys(name for row in found for name in row))
            print(f"\n**{kind}**\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
            for row in found:
                print(f"| {' | '.join(str(row.get(name, '')) for name in names)} |")


if __name__ == "__main__":
    main()
