"""The record of one scene over several NVIDIA GPUs of a host: latency, memory and exchange against one GPU.

    python bench/records/cards.py OUT.json --views 32 128 --cards 1 2 --seconds 8

For each number of views all numbers of cards are loaded at once and take turns in blocks, so that a card that slows down
as it warms slows all of them. A sample is `run(); synchronize()` with inputs on the cards (the `device` boundary of
bench/PROTOCOL.md). What is compared with one card is what one card gave for the same photographs in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depthport.exporters.api import export
from depthport.exporters.core.artifact import Artifact, Shape
from depthport.exporters.core.store import ArtifactStore
from depthport.runtimes.base import Arrays, LoadOptions, Session
from depthport.runtimes.registry import get_runtime

_BLOCK_S = 1.0
_SHORT_VIEWS = 128


class _Loaded(NamedTuple):
    row: dict[str, object]
    session: Session
    outputs: Arrays


def main() -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="da3-large")
    parser.add_argument("--size", type=int, nargs=2, default=(504, 504))
    parser.add_argument("--precision", default="bf16-fp16")
    parser.add_argument("--views", type=int, nargs="+", default=[32])
    parser.add_argument("--cards", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=8.0, help="of samples for each number of views and cards")
    parser.add_argument("--budget", type=float, default=540.0, help="seconds after which no further shape is begun")
    parser.add_argument("--artifacts", type=Path)
    parser.add_argument("--cache", type=Path, help="of compiled kernels, shared by all artifacts. Default: one in each")
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    began = time.perf_counter()
    for views in given.views:
        if time.perf_counter() - began > given.budget:
            print(f"{views} views: not begun, out of time", flush=True)
            continue
        rows += measure(given, views)
        given.out.write_text(json.dumps(rows, indent=1))


def measure(given: argparse.Namespace, views: int) -> list[dict[str, object]]:
    """The rows of one number of views, one for each number of cards."""
    from depthport.bench.inputs.inputs import load_scene

    height, width = given.size
    begin = time.perf_counter()
    stored = export(
        given.model, format="pytorch", target="cuda", precision=given.precision, views=views, height=height, width=width,
        weights="synthetic:0", store=ArtifactStore(given.artifacts) if given.artifacts else None,
    )  # fmt: skip
    exported_s = time.perf_counter() - begin
    image = load_scene(Shape(1, views, height, width)).image
    loaded = [_load(stored.artifact, cards, image, given.cache) for cards in given.cards]
    rows, sessions = [one.row for one in loaded], [one.session for one in loaded]
    for one in loaded:
        one.row["against_first"] = {name: _relative(one.outputs[name], value) for name, value in loaded[0].outputs.items()}
    samples: list[list[float]] = [[] for _ in sessions]
    enough = 1e3 * given.seconds
    while any(sum(found) < enough for found in samples):
        for session, found in zip(sessions, samples, strict=True):
            if sum(found) < enough:
                found += _block(session, settle=views <= _SHORT_VIEWS)
    for row, session, found in zip(rows, sessions, samples, strict=True):
        placement = session.placement().details
        per_card = placement.get("cards", [])
        median_ms = statistics.median(found)
        row |= {
            "views": views, "export_s": round(exported_s, 2), "median_ms": median_ms, "n": len(found),
            "least_ms": min(found), "most_ms": max(found), "device_peak_mib": session.memory().device_peak_mib,
            "exchange_ms": [card["exchange_ms"] for card in per_card],
            "peak_mib_by_card": [card["device_peak_mib"] for card in per_card],
            "samples_ms": [round(sample, 3) for sample in found],
        }  # fmt: skip
        row["speedup"] = statistics.median(samples[0]) / median_ms
        print(json.dumps({key: value for key, value in row.items() if key != "samples_ms"}), flush=True)
        session.close()
    return rows


def _load(artifact: Artifact, cards: int, image: np.ndarray, cache: Path | None) -> _Loaded:
    device = "cuda" if cards == 1 else "cuda:" + "+".join(map(str, range(cards)))
    begin = time.perf_counter()
    session = get_runtime("pytorch").load(artifact, device, LoadOptions(mode="fused", cache_dir=cache))
    loaded = time.perf_counter()
    session.bind({"image": image})
    session.run()
    session.synchronize()
    outputs = session.outputs()
    row = {"cards": cards, "load_s": round(loaded - begin, 2), "first_call_s": round(time.perf_counter() - loaded, 2)}
    return _Loaded({**row}, session, outputs)


def _block(session: Session, settle: bool) -> list[float]:
    """Samples in ms for a second, one at least; calls that are short follow one that does not count."""
    found: list[float] = []
    if settle:
        session.run()
        session.synchronize()
    begin = time.perf_counter()
    while not found or time.perf_counter() - begin < _BLOCK_S:
        start = time.perf_counter()
        session.run()
        session.synchronize()
        found.append(1e3 * (time.perf_counter() - start))
    return found


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    difference = np.linalg.norm(found.astype(np.float64) - expected)
    return float(difference / max(np.linalg.norm(expected.astype(np.float64)), 1e-30))


if __name__ == "__main__":
    main()
