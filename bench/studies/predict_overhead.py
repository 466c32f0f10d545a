"""`python -m depthport.bench.studies.predict_overhead ARTIFACT`: the avoidable cost of a prediction.

Two arms in turn, each first in every other round, on the same decoded photographs and the same session: `model.predict`,
and preprocessing with one call of the session written out. The ratio of the two is paired within a round, so that what else
the machine does is in both; of CPU seconds besides, which it hardly touches. Exits with 1 unless the interval of wall time
lies below 1.05.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthport.bench.inputs.inputs import load_scenes
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.inputs.preprocess import apply_to_rgb, exact_steps, normalise
from depthport.predict.model import load
from depthport.predict.photographs import load_photographs

LIMIT = 1.05
RESAMPLES = 10_000


def main() -> None:
    """Print the overhead of a prediction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--runtime")
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    found = measure(given.artifact, given.runtime, given.rounds)
    print(f"predict / (preprocessing + session call), {given.rounds} paired rounds:")
    for clock, (low, middle, high) in zip(("wall", "CPU"), found, strict=True):
        print(f"{clock} seconds {middle:.4f} [{low:.4f}, {high:.4f}]")
    sys.exit(found[0][2] > LIMIT)


def measure(path: Path, runtime: str | None, rounds: int) -> list[tuple[float, float, float]]:
    """Return the median paired ratio of wall and of CPU seconds with its bootstrapped 95 % interval: low, median, high."""
    shape = load_artifact(path).manifest.shape
    scene = load_scenes(shape, sets=1)[0].arrays(preprocess=True)["image"][0]
    # Larger than the network's pixels by a half, so that there is something to scale.
    views = load_photographs([np.repeat(np.repeat(view, 3, 0), 3, 1)[::2, ::2] for view in scene])
    with load(path, runtime=runtime) as model:
        model.predict(views)
        session = model.session
        assert session is not None
        steps = [exact_steps(view.size, shape.height, shape.width) for view in views]

        def bare() -> None:
            rgb = np.stack([apply_to_rgb(view.rgb, own) for view, own in zip(views, steps, strict=True)])[None]
            session.bind({"image": normalise(rgb)})
            session.run()
            session.synchronize()
            session.outputs()

        def whole() -> None:
            model.predict(views)

        bare()
        ratios = np.array([_ratios(whole, bare, first=number % 2 == 0) for number in range(rounds)])
    picks = np.random.default_rng(0).integers(0, rounds, (RESAMPLES, rounds))
    low, high = np.percentile(np.median(ratios[picks], axis=1), [2.5, 97.5], axis=0)
    return [(float(a), float(b), float(c)) for a, b, c in zip(low, np.median(ratios, axis=0), high, strict=True)]


def _ratios(whole: Callable[[], None], bare: Callable[[], None], *, first: bool) -> NDArray[np.float64]:
    seconds = {function: _seconds(function) for function in ((whole, bare) if first else (bare, whole))}
    return seconds[whole] / seconds[bare]


def _seconds(function: Callable[[], None]) -> NDArray[np.float64]:
    begun = time.perf_counter(), time.process_time()
    function()
    return np.subtract((time.perf_counter(), time.process_time()), begun)


if __name__ == "__main__":
    main()
