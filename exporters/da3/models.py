"""The models of the Depth Anything 3 family as data: names, checkpoints, licences, outputs. Imports no torch.

Names, configurations and licences are upstream's (`depth_anything_3/configs/*.yaml` and its README's model table).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from exporters.da3.shapes import PATCH, validate_shape
from exporters.errors import UsageError

__all__ = ["MODELS", "OUTPUTS", "PATCH", "Family", "ModelSpec", "get_model", "validate_outputs", "validate_shape"]

Family = Literal["anyview", "mono", "metric", "nested"]

OUTPUTS = (
    "depth",
    "depth_conf",
    "extrinsics",
    "intrinsics",
    "reference_view",
    "ray",
    "ray_conf",
    "sky",
)
"""Every output name there is, in the order in which a network returns those it has."""

APACHE = "Apache-2.0"
NON_COMMERCIAL = "CC BY-NC 4.0"


@dataclass(frozen=True)
class ModelSpec:
    """One model of the family."""

    name: str
    hub_id: str
    """Hugging Face repository of upstream's own checkpoint."""
    licence: str
    """Licence of that checkpoint (the code is Apache-2.0)."""
    family: Family
    upstream_config: str
    """Name of upstream's configuration, `depth_anything_3/configs/<name>.yaml`."""
    outputs: tuple[str, ...]
    """What a network returns when nothing else is asked for."""
    optional_outputs: tuple[str, ...] = ()
    """What it can return besides."""
    exportable: bool = True
    """Whether the static network covers it."""
    ignored_prefixes: tuple[str, ...] = ()
    """Checkpoint keys (without `model.`) of parts that are not built."""

    @property
    def takes_poses(self) -> bool:
        """Whether it has a camera encoder, so that known poses may go in."""
        return self.family == "anyview"

    @property
    def all_outputs(self) -> tuple[str, ...]:
        """Every name this model can return, in the order of :data:`OUTPUTS`."""
        return tuple(name for name in OUTPUTS if name in (*self.outputs, *self.optional_outputs))


_ANYVIEW = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view")
_RAYS = ("ray", "ray_conf")
_GAUSSIAN_HEAD = ("gs_head.", "gs_adapter.")

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "da3-small", "depth-anything/DA3-SMALL", APACHE, "anyview", "da3-small", _ANYVIEW, _RAYS
        ),
        ModelSpec("da3-base", "depth-anything/DA3-BASE", APACHE, "anyview", "da3-base", _ANYVIEW, _RAYS),
        # Upstream's README deprecates the first DA3-LARGE, -GIANT and -NESTED checkpoints for their 1.1 versions.
        ModelSpec(
            "da3-large", "depth-anything/DA3-LARGE-1.1", NON_COMMERCIAL, "anyview", "da3-large", _ANYVIEW, _RAYS
        ),
        ModelSpec(
            "da3-giant", "depth-anything/DA3-GIANT-1.1", NON_COMMERCIAL, "anyview", "da3-giant", _ANYVIEW, _RAYS,
            exportable=False, ignored_prefixes=_GAUSSIAN_HEAD,
        ),
        ModelSpec(
            "da3mono-large", "depth-anything/DA3MONO-LARGE", APACHE, "mono", "da3mono-large", ("depth", "sky"),
            exportable=False,
        ),
        ModelSpec(
            "da3metric-large", "depth-anything/DA3METRIC-LARGE", APACHE, "metric", "da3metric-large",
            ("depth", "sky"), exportable=False,
        ),
        ModelSpec(
            "da3nested-giant-large", "depth-anything/DA3NESTED-GIANT-LARGE-1.1", NON_COMMERCIAL, "nested",
            "da3nested-giant-large", (*_ANYVIEW, "sky"), exportable=False,
            ignored_prefixes=("da3.gs_head.", "da3.gs_adapter."),
        ),
    )
}  # fmt: skip


def get_model(name: str) -> ModelSpec:
    """The model called `name`.

    Raises:
        UsageError: no model has that name.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise UsageError(f"unknown model {name!r}: choose one of {', '.join(MODELS)}") from None


def validate_outputs(spec: ModelSpec, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """The outputs asked for (None: the model's default ones), without repetition, in the order of :data:`OUTPUTS`.

    Raises:
        UsageError: none is asked for, or one that this model does not have.
    """
    if outputs is None:
        return spec.outputs
    known = spec.all_outputs
    unknown = [name for name in outputs if name not in known]
    if unknown:
        raise UsageError(f"{spec.name} has no output {', '.join(unknown)}: choose from {', '.join(known)}")
    if not outputs:
        raise UsageError(f"no output asked for: choose from {', '.join(known)}")
    return tuple(name for name in known if name in outputs)
