"""Host-side arithmetic as pure, deterministic numpy functions outside the graph.

It is what upstream does to its network's outputs with data-dependent shapes, sampling or matrix factorisations. Imports
no torch.

| step | models | what it does | upstream |
|---|---|---|---|
| `sky_fill` | `da3mono-large`, `da3metric-large` | sky gets the 0.99 quantile of the other pixels' depth | `_process_mono_sky_estimation` |
| `metric_scale` | `da3nested-giant-large` | metres: depth and poses scaled, sky filled | `NestedDepthAnything3Net` |
| `pose_from_rays` | any-view, on demand | cameras fitted to the ray maps | `use_ray_pose` |

A step is a function from outputs by name to outputs by name: it changes values, never names, shapes or dtypes. Every
scene of a batch is treated alone, so that B scenes at once give what B single ones give. (Upstream takes one quantile
and one scale over the whole batch; its own API never sends more than one scene.)
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

import numpy as np

from depthport.exporters.core.artifact import HostStep
from depthport.exporters.core.errors import ArtifactError

Arrays = dict[str, np.ndarray]
Step = Callable[..., Arrays]

SKY_FILL = HostStep(
    "sky_fill",
    reads=("depth", "sky"),
    writes=("depth",),
    parameters={"threshold": 0.3, "quantile": 0.99, "fewest": 10},
    description="depth where sky >= 0.3 becomes the 0.99 quantile of the scene's other depths",
)
METRIC_SCALE = HostStep(
    "metric_scale",
    reads=("depth", "depth_conf", "intrinsics", "metric_depth", "sky"),
    writes=("depth", "depth_conf", "extrinsics", "ray", "metric_depth"),
    parameters={"threshold": 0.3, "quantile": 0.99, "fewest": 10, "focal": 300.0, "farthest": 200.0},
    description="depth and translations in metres, by least squares against metric_depth; sky filled",
)
POSE_FROM_RAYS = HostStep(
    "pose_from_rays",
    reads=("ray", "ray_conf", "extrinsics", "intrinsics"),
    writes=("extrinsics", "intrinsics"),
    parameters={"iterations": 100, "candidates": 0.3, "inlier_distance": 0.2, "seed": 0},
    description="extrinsics and intrinsics fitted to the rays by seeded RANSAC, in place of the camera decoder's",
)
STEPS: dict[str, HostStep] = {step.name: step for step in (POSE_FROM_RAYS, SKY_FILL, METRIC_SCALE)}
"""Every step, in the order in which they are done."""

_FUNCTIONS = {
    "sky_fill": ("depthport.exporters.da3.host.sky", "sky_fill"),
    "metric_scale": ("depthport.exporters.da3.host.metric", "metric_scale"),
    "pose_from_rays": ("depthport.exporters.da3.host.rays", "pose_from_rays"),
}


def steps_for(names: Sequence[str], outputs: Sequence[str]) -> tuple[HostStep, ...]:
    """Those of the steps `names` that change one of `outputs`, in their order."""
    return tuple(step for name, step in STEPS.items() if name in names and set(step.writes) & set(outputs))


def with_reads(names: Sequence[str], outputs: Sequence[str]) -> frozenset[str]:
    """`outputs` and what the steps `names` read to finish them."""
    wanted = frozenset(outputs)
    while more := frozenset(read for step in steps_for(names, tuple(wanted)) for read in step.reads) - wanted:
        wanted |= more
    return wanted


def apply(steps: Sequence[HostStep], outputs: Mapping[str, np.ndarray]) -> Arrays:
    """The model's outputs from the graph's.

    Args:
        steps: of the artifact's manifest (`host_steps`).
        outputs: the graph's, by name; they are not changed.

    Raises:
        ArtifactError: a step that this version does not have.
        RunError: the outputs carry no answer (no pixel that is not sky, rays that fit no camera).
    """
    found = dict(outputs)
    for step in steps:
        if step.name not in _FUNCTIONS:
            raise ArtifactError(
                f"the artifact needs the host step {step.name!r}, which this version lacks: update depthport"
            )
        known = STEPS[step.name].parameters
        if not step.parameters.keys() <= known.keys() or any(type(v) not in (int, float) for v in step.parameters.values()):
            raise ArtifactError(f"host step {step.name!r} has unknown parameters: don't use this artifact")
        if missing := [output for output in STEPS[step.name].reads if output not in found and output in step.reads]:
            raise ArtifactError(f"host step {step.name!r} reads {missing[0]!r}, which the artifact does not output")
        module, name = _FUNCTIONS[step.name]
        function: Step = getattr(import_module(module), name)
        found = function(found, **step.parameters)
    return found
