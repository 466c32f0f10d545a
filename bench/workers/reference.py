"""The reference of every parity figure: upstream's own forward in fp32, and once in fp64, to know what fp32 itself loses.

How far fp32 itself is from exact arithmetic (fp64) says what an error means: a cell within a few times that distance
computes the same function (TorchDynamo's `same()`, benchmarks/dynamo/common.py). The fp64 pass runs on the first input
only, on the same device. Results are cached beside the artifacts: they depend on weights, shape and inputs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthport.bench.plan.cells import CellSpec
from depthport.bench.results.ties import MOST_CHOICES, REFERENCE_VIEW, TIED, choice_key
from depthport.bench.workers.exporting import ComputeReference
from depthport.exporters.core.artifact import HostStep
from depthport.exporters.core.files.npz import is_whole, read_npz, write_npz
from depthport.exporters.core.provenance import canonical_sha256, package_versions
from depthport.exporters.core.source import source_digest
from depthport.exporters.da3.host import apply
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.weights import load_state_dict
from depthport.runtimes.registry import baseline_runtime

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

REFERENCE_PACKAGES = ("torch", "depth-anything-3", "numpy")


def reference_key(request: ExportRequest, inputs_sha256: str, device: str) -> str:
    """Return the hash of everything that the reference of a request depends on."""
    versions = {k: v for k, v in package_versions(REFERENCE_PACKAGES).items() if k != "python"}
    return canonical_sha256(
        {
            "model": request.model.name,
            "config": request.model.config,
            "host_steps": [asdict(step) for step in request.host_steps],
            "weights": request.weights.sha256,
            "inputs": inputs_sha256,
            "outputs": request.outputs,
            "device": device,
            "versions": versions,
            "source": source_digest(__name__),
        }
    )


def reference_device(cells: Iterable[CellSpec]) -> str:
    """Return the device that upstream's fp32 runs on: the GPU that cells of its own runtime use, else on the CPU."""
    upstream = baseline_runtime().name
    devices = {cell.device for cell in cells if cell.runtime == upstream and not cell.unavailable}
    return next((device for device in sorted(devices) if device.startswith("cuda")), "cpu")


def compute(request: ComputeReference, progress: Callable[[str], None]) -> None:
    """Write `fp32-<i>.npz` for every input and `fp64-0.npz` into the request's folder.

    Files that are there and whole are kept.
    """
    folder = Path(request.folder)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(len(request.inputs)) if not is_whole(folder / f"fp32-{i}.npz")]
    exact_missing = request.fp64 and not is_whole(folder / "fp64-0.npz")
    if missing or exact_missing:
        _compute(request, folder, missing, exact_missing, progress)


def _compute(
    request: ComputeReference, folder: Path, missing: Sequence[int], exact_missing: bool, progress: Callable[[str], None]
) -> None:
    import torch

    from depthport.exporters.da3.upstream import build_upstream, double_arithmetic, upstream_forward

    asked = request.request
    names, steps = list(asked.outputs), asked.host_steps
    inputs = [Path(p) for p in request.inputs]
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    state = load_state_dict(asked.weights, asked.model)
    net = build_upstream(asked.model, state).to(request.device)
    for number, index in enumerate(missing):
        progress(f"upstream fp32, input {number + 1} of {len(missing)}")
        _forward(net, inputs[index], folder / f"fp32-{index}.npz", names, steps, torch.float32, upstream_forward)
    if exact_missing:
        progress("upstream in fp64")
        # Rebuilt: upstream caches positions on the device it last ran on.
        del net
        exact = build_upstream(asked.model, state).double().to(request.device)
        with double_arithmetic():
            _forward(exact, inputs[0], folder / "fp64-0.npz", names, steps, torch.float64, upstream_forward)


def _forward(
    net: nn.Module,
    source: Path,
    target: Path,
    names: list[str],
    steps: Sequence[HostStep],
    dtype: torch.dtype,
    forward: Callable[..., Mapping[str, Tensor]],
) -> None:
    import torch

    from depthport.exporters.da3.ties import forced_choice, other_choices, recorded_ties

    arrays = {name: torch.from_numpy(value) for name, value in read_npz(source).items()}
    device = next(net.parameters()).device
    tensors = {name: a.to(device, dtype) for name, a in arrays.items()}
    image = tensors.pop("image")

    def outputs() -> dict[str, np.ndarray]:
        with torch.inference_mode():
            given = forward(net, image, names, **tensors)
        # The host's part is the same arithmetic on both sides; upstream's own draws pixels at random.
        return dict(apply(steps, {name: value.cpu().numpy() for name, value in given.items()}))

    with recorded_ties() as ties:
        found = outputs()
    if ties and REFERENCE_VIEW in found:
        chosen = torch.from_numpy(found[REFERENCE_VIEW])
        found[TIED] = ties[-1].numpy()
        for number, views in enumerate(other_choices(ties[-1], chosen, MOST_CHOICES)):
            with forced_choice(views):
                found |= {choice_key(number, name): value for name, value in outputs().items()}
    write_npz(target, found)
