"""The static network of `da3nested-giant-large`: the any-view and the metric network side by side, in one graph.

Source: upstream's `NestedDepthAnything3Net` (`model/da3.py`). The two share nothing but the image; what joins them, the
metric scale, depends on data in its shapes and is the host's (:mod:`depthport.exporters.da3.host.metric`).
"""

from __future__ import annotations

from torch import Tensor, nn

from depthport.exporters.da3.static.mono import StaticMono

METRIC_NAMES = {"metric_depth": "depth", "sky": "sky"}
"""Outputs that come from the metric network, and their names there."""


class StaticNested(nn.Module):
    """Both networks for one (B, N, H, W); make it with :func:`depthport.exporters.da3.static.network.build_static`.

    Either may be missing where none of its outputs is asked for.
    """

    def __init__(self, anyview: nn.Module | None, metric: StaticMono | None, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.anyview = anyview
        self.metric = metric
        self.output_names = outputs

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, N, 3, H, W) fp32, ImageNet-normalised, to the outputs in the order of `output_names`."""
        found: dict[str, Tensor] = {}
        for part, outputs in ((self.anyview, anyview_outputs(self.output_names)), (self.metric, tuple(METRIC_NAMES))):
            if part is not None:
                asked = [name for name in outputs if name in self.output_names]
                own = dict(zip(part.output_names, part(image), strict=True))  # type: ignore[arg-type]
                found |= {name: own[METRIC_NAMES.get(name, name)] for name in asked}
        return tuple(found[name] for name in self.output_names)


def anyview_outputs(outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `outputs` that the any-view network gives, by the names it has for them."""
    return tuple(name for name in outputs if name not in METRIC_NAMES)


def metric_outputs(outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `outputs` that the metric network gives, by the names it has for them."""
    return tuple(own for own in ("depth", "sky") if any(METRIC_NAMES.get(name) == own for name in outputs))
