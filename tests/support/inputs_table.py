"""The table of exporters/INPUTS.md: how far ONNX artifacts with these inputs are from upstream in fp32.

    python -m tests.support.inputs_table            prints it (tens of minutes on two cores)

A row is an artifact (model, option) run by ONNX Runtime on the CPU at one (B, N, H, W), against upstream's own forward on
the same pixels and poses. `tests/exporters/inputs/test_inputs_table.py` holds every row to the bound.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from depthport.bench.inputs.inputs import load_scenes
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.store import ArtifactStore
from tests.support.posed import known_poses

BOUND = 1e-5
"""Relative L2 of every output."""
EVERYTHING = ("views", "size", "batch")


@dataclass(frozen=True)
class Row:
    """One artifact at one shape."""

    model: str
    shape: Shape
    dynamic: tuple[str, ...] = ()
    pose_input: bool = False
    source_size: tuple[int, int] | None = None
    target: str | None = "ort-cpu"

    @property
    def option(self) -> str:
        parts = ["poses in"] if self.pose_input else []
        parts += [f"open {', '.join(self.dynamic)}"] if self.dynamic else []
        parts += [f"pixels of {self.source_size[0]}×{self.source_size[1]} in"] if self.source_size else []
        return "; ".join(parts)

    def export(self) -> dict[str, Any]:
        """Arguments of :func:`depthport.exporters.export`; what is open is traced at a shape of its own."""
        shape = Shape(1, 2, 70, 98) if self.dynamic == EVERYTHING else self.shape
        return {
            "format": "onnx", "batch": shape.batch, "views": shape.views, "height": shape.height, "width": shape.width,
            "weights": "synthetic:0", "dynamic": self.dynamic, "pose_input": self.pose_input,
            "source_size": self.source_size, "target": self.target,
        }  # fmt: skip


TINY, REAL = (70, 98), (336, 504)
ROWS: tuple[Row, ...] = (
    *(Row("da3-small", Shape(1, n, *TINY), EVERYTHING) for n in (1, 2, 3, 4, 7)),
    Row("da3-small", Shape(2, 4, 126, 42), EVERYTHING),
    *(Row("da3-small", Shape(1, n, *REAL), EVERYTHING) for n in (1, 3)),
    Row("da3-small", Shape(1, 1, 518, 518), EVERYTHING),
    Row("da3-small", Shape(2, 3, *TINY)),
    Row("da3-small", Shape(1, 5, *TINY), pose_input=True),
    Row("da3-small", Shape(1, 2, *TINY), source_size=(280, 393)),
    Row("da3-small", Shape(1, 1, *REAL), source_size=(480, 720)),
    *(Row("da3-small", Shape(1, n, *TINY), EVERYTHING, pose_input=True) for n in (1, 2, 5)),
    Row("da3-small", Shape(1, 2, *REAL), EVERYTHING, pose_input=True),
    *(Row("da3-base", Shape(1, n, *TINY), EVERYTHING, pose_input=True) for n in (1, 2, 5)),
    Row("da3-base", Shape(2, 3, *TINY), EVERYTHING, pose_input=True),
    Row("da3-base", Shape(1, 1, *REAL), EVERYTHING, pose_input=True),
)


@lru_cache(maxsize=2)
def upstream(model: str) -> Any:
    from depthport.exporters.da3.build import named_upstream

    return named_upstream(model, "synthetic:0")


def measure(row: Row, store: ArtifactStore) -> dict[str, float]:
    """Relative L2 of each output; of `reference_view` the number of scenes that differ."""
    import torch

    from depthport.exporters.api import export
    from depthport.exporters.da3.upstream import upstream_forward
    from depthport.runtimes.registry import get_runtime

    artifact = export(row.model, store=store, **row.export()).artifact
    scene = load_scenes(row.shape, sets=1, source_size=row.source_size)[0]
    inputs = scene.arrays(preprocess=row.source_size is not None)
    known: dict[str, Any] = {}
    if row.pose_input:
        shape = row.shape
        known = dict(
            zip(("extrinsics", "intrinsics"), known_poses(shape.batch, shape.views, shape.height, shape.width), strict=True)
        )
    names = [spec.name for spec in artifact.manifest.outputs]
    poses = {name: torch.from_numpy(array) for name, array in known.items()}
    expected = upstream_forward(upstream(row.model), torch.from_numpy(scene.image), names, **poses)
    with get_runtime("onnxruntime").load(artifact, "cpu") as session:
        session.bind({**inputs, **known})
        session.run()
        session.synchronize()
        found = session.outputs()
    return {name: _distance(found[name], expected[name].numpy()) for name in names}


def _distance(found: Any, wanted: Any) -> float:
    if wanted.dtype.kind == "i":
        return float(np.count_nonzero(found != wanted))
    return float(np.linalg.norm(found.astype(np.float64) - wanted) / np.linalg.norm(wanted.astype(np.float64)))


def lines(rows: tuple[Row, ...], store: ArtifactStore) -> Iterator[str]:
    """The table in Markdown, line by line as it is measured."""
    yield "| model | B×N×H×W | inputs | depth | confidence | extrinsics | intrinsics | reference view |"
    yield "|---|---|---|---:|---:|---:|---:|---|"
    for row in rows:
        found = measure(row, store)
        figures = [f"{found[name]:.1e}" for name in ("depth", "depth_conf", "extrinsics", "intrinsics")]
        shape = f"{row.shape.batch}×{row.shape.views}×{row.shape.height}×{row.shape.width}"
        same = "same" if not found["reference_view"] else "DIFFERS"
        yield f"| {row.model} | {shape} | {row.option or 'a batch'} | {' | '.join(figures)} | {same} |"


@contextmanager
def _store() -> Iterator[ArtifactStore]:
    if folder := os.environ.get("DEPTHPORT_ARTIFACTS"):
        yield ArtifactStore(Path(folder))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield ArtifactStore(Path(temporary))


if __name__ == "__main__":
    with _store() as store:
        for line in lines(ROWS, store):
            print(line, flush=True)
