"""The models of the Depth Anything 3 family as data: names, checkpoints, licences, outputs. Imports no torch.

Names, configurations and licences are upstream's (`depth_anything_3/configs/*.yaml` and its README's model table).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from depthport.exporters.core.artifact import HostStep
from depthport.exporters.core.errors import UsageError
from depthport.exporters.da3 import host

Family = Literal["anyview", "mono", "metric", "nested"]

OUTPUTS = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view", "ray", "ray_conf", "sky", "metric_depth")
"""Every output name there is, in the order in which a network returns those it has."""

APACHE = "Apache-2.0"
NON_COMMERCIAL = "CC BY-NC 4.0"


@dataclass(frozen=True)
class FamilySpec:
    """Facts that the models of one structure have in common."""

    outputs: tuple[str, ...]
    """Default outputs of a network."""
    optional_outputs: tuple[str, ...] = ()
    """Further outputs that it can return."""
    steps: tuple[str, ...] = ()
    """Names of what the host does to the outputs (:mod:`depthport.exporters.da3.host`)."""
    ignored_prefixes: tuple[str, ...] = ()
    """Checkpoint keys (without `model.`) of parts that are not built: the Gaussian head."""

    @property
    def all_outputs(self) -> tuple[str, ...]:
        """Every name a network can return, in the order of :data:`OUTPUTS`."""
        return tuple(name for name in OUTPUTS if name in (*self.outputs, *self.optional_outputs))


_ANYVIEW = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view")
_RAYS = ("ray", "ray_conf")
_MONOCULAR = FamilySpec(("depth", "sky"), steps=("sky_fill",))

FAMILIES: dict[Family, FamilySpec] = {
    "anyview": FamilySpec(_ANYVIEW, _RAYS, ignored_prefixes=("gs_head.", "gs_adapter.")),
    "mono": _MONOCULAR,
    "metric": _MONOCULAR,
    # Both networks side by side in one graph: one file, one session, one artifact.
    "nested": FamilySpec((*_ANYVIEW, "sky", "metric_depth"), _RAYS, ("metric_scale",), ("da3.gs_head.", "da3.gs_adapter.")),
}


@dataclass(frozen=True)
class ModelSpec:
    """One model."""

    name: str
    hub_id: str
    """Hugging Face repository of upstream's own checkpoint; empty for a configuration of the user's own."""
    licence: str
    """Licence of that checkpoint (the code is Apache-2.0)."""
    family: Family
    feed_forward: Literal["mlp", "swiglu"] = "mlp"
    """Feed-forward network of the (any-view) backbone's blocks."""
    config: dict[str, object] | None = None
    """Upstream's configuration where it is the user's own (:mod:`depthport.exporters.da3.config`); None: upstream's of
    that name, `depth_anything_3/configs/<name>.yaml`."""
    source: str = ""
    """The file it was read from; empty for upstream's own."""

    @property
    def takes_poses(self) -> bool:
        """True if it has a camera encoder, so that known poses may go in."""
        return self.family == "anyview"

    @property
    def outputs(self) -> tuple[str, ...]:
        return FAMILIES[self.family].outputs

    @property
    def all_outputs(self) -> tuple[str, ...]:
        """Every name this model can return, in the order of :data:`OUTPUTS`."""
        return FAMILIES[self.family].all_outputs

    @property
    def ignored_prefixes(self) -> tuple[str, ...]:
        return FAMILIES[self.family].ignored_prefixes

    @property
    def reference(self) -> str:
        """Name by which :func:`get_model` finds it, in another process too: its name, or the file it was read from."""
        return self.source or self.name


MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec("da3-small", "depth-anything/DA3-SMALL", APACHE, "anyview"),
        ModelSpec("da3-base", "depth-anything/DA3-BASE", APACHE, "anyview"),
        # Upstream's README deprecates the first DA3-LARGE, -GIANT and -NESTED checkpoints for their 1.1 versions.
        ModelSpec("da3-large", "depth-anything/DA3-LARGE-1.1", NON_COMMERCIAL, "anyview"),
        ModelSpec("da3-giant", "depth-anything/DA3-GIANT-1.1", NON_COMMERCIAL, "anyview", "swiglu"),
        ModelSpec("da3mono-large", "depth-anything/DA3MONO-LARGE", APACHE, "mono"),
        ModelSpec("da3metric-large", "depth-anything/DA3METRIC-LARGE", APACHE, "metric"),
        ModelSpec(
            "da3nested-giant-large", "depth-anything/DA3NESTED-GIANT-LARGE-1.1", NON_COMMERCIAL, "nested", "swiglu"
        ),
    )
}  # fmt: skip


def validate_pose_input(spec: ModelSpec, wanted: bool) -> None:
    """Refuse pose input for a model without it.

    Raises:
        UsageError: `wanted`, and it has no camera encoder.
    """
    if wanted and not spec.takes_poses:
        raise UsageError(f"{spec.name} takes no poses in: leave out --pose-input, or choose da3-small, -base or -large")


def validate_outputs(
    spec: ModelSpec | FamilySpec, outputs: Sequence[str] | None, *, ray_pose: bool = False
) -> tuple[str, ...]:
    """The outputs a graph must have, in the order of :data:`OUTPUTS`, without repetition.

    Args:
        spec: the model, or its family.
        outputs: names asked for; None: the default ones. What the host needs to finish them is added: `depth` of a
            monocular model brings `sky`.
        ray_pose: the poses are to be fitted to the rays.

    Raises:
        UsageError: none is asked for, or one that this model does not have.
    """
    family = FAMILIES[spec.family] if isinstance(spec, ModelSpec) else spec
    called = spec.name if isinstance(spec, ModelSpec) else "this network"
    known = family.all_outputs
    asked = family.outputs if outputs is None else outputs
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise UsageError(f"{called} has no output {', '.join(unknown)}: choose from {', '.join(known)}")
    if not asked:
        raise UsageError(f"no output asked for: choose from {', '.join(known)}")
    if ray_pose and not ("ray" in known and {"extrinsics", "intrinsics"} & set(asked)):
        raise UsageError("a pose from rays needs an any-view model and output extrinsics or intrinsics: ask for these")
    wanted = host.with_reads(_step_names(family, ray_pose), asked)
    return tuple(name for name in known if name in wanted)


def host_steps(spec: ModelSpec, outputs: Sequence[str], *, ray_pose: bool = False) -> tuple[HostStep, ...]:
    """Return the host's steps on these outputs of the graph; arguments as :func:`validate_outputs` takes them."""
    return host.steps_for(_step_names(FAMILIES[spec.family], ray_pose), outputs)


def _step_names(family: FamilySpec, ray_pose: bool) -> tuple[str, ...]:
    return (*(("pose_from_rays",) if ray_pose else ()), *family.steps)
