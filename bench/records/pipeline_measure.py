"""Measurements of the pipeline boundary's record (bench/records/pipeline.py): decoders, latency, streams, losses."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from depthport.predict.model import Model

THREADS = 8
"""That decode, at most."""
SQUARE, WIDE = (1440, 1440), (1080, 1920)
"""Height and width of the photographs."""
Size = tuple[int, int]
NVJPEG_LOSS = "decoded by nvJPEG against decoded by the CPU, worst of 8 scenes"


def keep(given: argparse.Namespace, **row: object) -> None:
    """Write a row, at once."""
    line = json.dumps(row)
    print(line, flush=True)
    with (given.out / "rows.jsonl").open("a") as rows:
        rows.write(line + "\n")


def photographs(given: argparse.Namespace, size: Size) -> list[bytes]:
    """Files of the photographs of a size, encoded."""
    return [path.read_bytes() for path in sorted((given.work / f"{size[0]}x{size[1]}").glob("*.jpg"))]


def artifact(given: argparse.Namespace, views: int, source: Size | None, size: Size) -> Path:
    """Exported, or found: target `cuda` where there is such a device, the portable program elsewhere."""
    from depthport.exporters.api import export
    from depthport.exporters.core.store import ArtifactStore

    cuda = given.device != "cpu"
    stored = export(
        given.model, format="pytorch", target="cuda" if cuda else None, precision="bf16-fp16" if cuda else "fp32",
        views=views, height=size[0], width=size[1], preprocess=True, source_size=source, weights="synthetic:0",
        store=ArtifactStore(given.work / "artifacts"),
    )  # fmt: skip
    return stored.artifact.path


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
    rgb = decode_image(files[0], "x")
    decoders: dict[str, Callable[[bytes], object]] = {
        "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
        "ours (OpenCV)": lambda data: decode_image(data, "x"),
        "resize to 504 (OpenCV)": lambda _: cv2.resize(rgb, (504, 504), interpolation=cv2.INTER_AREA),
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

        median = statistics.median(blocks(1.0, call))
        keep(given, decoder="nvJPEG", batch=batch, ms=round(median, 3), img_s=round(1e3 * batch / median, 1))


def device_decoder(given: argparse.Namespace) -> Any:
    """Decoder of the device; None on the CPU."""
    import torch

    from depthport.runtimes.pytorch.nvjpeg import nvjpeg

    return nvjpeg(torch.device(given.device)) if given.device != "cpu" else None


def measure(given: argparse.Namespace, views: int, photograph: Size, size: Size) -> None:
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
    sides = {"photograph": "x".join(map(str, photograph)), "size": "x".join(map(str, size))}
    label: dict[str, str | int] = {"views": views, **sides}
    with pixels, sources:
        cpu, resized = pixels(scenes[0], oriented=False), sources(scenes[0], oriented=False)
        check = upstream(scenes[0], max(size), size)
        raw = upstream._before([image(one) for one in scenes[0]], None, None, max(size), "upper_bound_resize")[0].numpy()
        keep(given, **label, parity="pixels of the CPU path against upstream's", equal=bool(np.array_equal(ours(cpu), raw)))
        keep(given, **label, parity="resize in the graph against resize on the CPU", **loss(resized, cpu))
        keep(given, **label, parity="ours on the CPU path against upstream's autocast", **loss(cpu, check))
        decoder = device_decoder(given)
        if decoder is not None:
            keep(given, **label, parity=NVJPEG_LOSS, **loss_of_nvjpeg(sources, scenes[:8]))
        pictures = np.asarray(cpu.processed_images)[None]
        session, flow = pixels._ready(pixels._fixed)  # type: ignore[arg-type]

        def network_alone(_turn: int) -> None:
            session.run()
            session.synchronize()

        calls: dict[str, Callable[[int], object]] = {
            "upstream": lambda turn: upstream(scenes[turn % len(scenes)], max(size), size),
            "network": network_alone,
            "network, numpy in and out": lambda _: flow.submit({"image": pictures}, checked=True)(),
            "ours, CPU decode and resize": lambda turn: pixels(scenes[turn % len(scenes)], oriented=False),
        }
        if decoder is not None:
            calls["ours, nvJPEG, GPU resize"] = lambda turn: sources(
                scenes[turn % len(scenes)], oriented=False, decoder="device"
            )

            def decode_alone(turn: int) -> None:
                decoder(scenes[turn % len(scenes)])[0].ready.synchronize()

            calls["nvJPEG alone"] = decode_alone
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
        best = {name: 1e3 * views / statistics.median(samples[name]) for name in ("upstream", "network")}
        measure_streams(given, label, scenes, pixels, sources if decoder is not None else None, best)


def measure_streams(
    given: argparse.Namespace,
    label: dict[str, str | int],
    scenes: list[list[bytes]],
    pixels: Model,
    sources: Model | None,
    best: dict[str, float],
) -> None:
    """Images a second of ours, beside what loops of calls gave (`best`)."""
    import cv2

    # A thread of the pool decodes and resizes: OpenCV's own would come on top of the eight.
    cv2.setNumThreads(1)
    endless = partial(itertools.cycle, scenes)
    streams: dict[str, Callable[[], Any]] = {
        "ours, CPU decode and resize": lambda: pixels.stream(endless(), oriented=False, threads=THREADS)
    }
    if sources is not None:
        resized = partial(sources.stream, oriented=False, threads=THREADS, images=False)
        streams["ours, CPU decode, GPU resize"] = lambda: resized(endless())
        streams["ours, nvJPEG, GPU resize"] = lambda: resized(endless(), decoder="device")
    rates: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(given.rounds):
        for name, stream in streams.items():
            rates[name].append(rate(stream(), given.block, len(scenes[0])))
    for name, found in rates.items():
        keep(given, **label, stream=name, img_s=round(statistics.median(found), 2), rounds=[round(r, 2) for r in found],
             times_upstream=round(statistics.median(found) / best["upstream"], 2),
             of_network=round(statistics.median(found) / best["network"], 3))  # fmt: skip
    for name, value in best.items():
        keep(given, **label, stream=f"{name} (a loop of calls)", img_s=round(value, 2))


def loss_of_nvjpeg(sources: Model, scenes: Sequence[list[bytes]]) -> dict[str, float]:
    """The worst of some scenes, figure by figure."""
    each = []
    for scene in scenes:
        on_device, on_cpu = (sources(scene, oriented=False, decoder=where) for where in ("device", "cpu"))
        assert on_device.placement["decoded"] == "device"
        each.append(loss(on_device, on_cpu))
    return {name: max(one[name] for one in each) for name in each[0]}


def rate(stream: Any, seconds: float, views: int) -> float:
    """Images a second of a stream that is under way."""
    for _ in range(6):
        assert next(stream).error is None
    begin, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - begin < seconds:
        assert next(stream).error is None
        count += 1
    took = time.perf_counter() - begin
    stream.close()
    return count * views / took


def image(data: bytes) -> Any:
    """Open an encoded image."""
    from PIL import Image

    return Image.open(io.BytesIO(data))


def ours(prediction: Any) -> np.ndarray:
    """Network input of a prediction's processed images."""
    from depthport.exporters.inputs.preprocess import normalise

    return normalise(prediction.processed_images)


def loss(found: Any, expected: Any) -> dict[str, float]:
    """Return the distance of a prediction from another: relative L2, and degrees of rotation."""

    def relative(a: Any, b: Any) -> float:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return float(f"{np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30):.3g}")

    apart = np.linalg.norm(found.extrinsics[:, :3, :3].astype(np.float64) - expected.extrinsics[:, :3, :3], axis=(1, 2))
    angle = float(np.degrees(2 * np.arcsin(np.clip(apart / np.sqrt(8), 0, 1))).max())
    return {
        "depth": relative(found.depth, expected.depth),
        "conf": relative(found.conf, expected.conf),
        "extrinsics": relative(found.extrinsics[:, :3], expected.extrinsics[:, :3]),
        "intrinsics": relative(found.intrinsics, expected.intrinsics),
        "rotation_deg": float(f"{angle:.3g}"),
    }
