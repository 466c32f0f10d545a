"""The static network beside upstream, both in fp32 on the CPU, at the sizes people use: the README's table.

    python -m depthport.bench.studies.static_parity da3-small da3-base da3-large

Inputs are the shipped photographs, weights `synthetic:0`. Prints the relative L2 of every output, as Markdown, and exits
with 1 where one is above 1e-6 or the reference view is another.
"""

from __future__ import annotations

import argparse
import sys

from depthport.bench.analysis.parity import relative_l2
from depthport.bench.inputs.inputs import load_scenes
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.precision import resolve_policy
from depthport.exporters.da3.build import named_upstream

BOUND = 1e-6
SIZES = ((504, 504), (336, 504))
VIEWS = (1, 2, 3, 5)
OUTPUTS = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view")


def distances(model: str, shape: Shape) -> dict[str, float]:
    """Relative L2 by output; `reference_view` is 0 where it is the same view."""
    import torch

    from depthport.exporters.da3.static.network import build_static
    from depthport.exporters.da3.upstream import upstream_forward

    network = named_upstream(model, "synthetic:0")
    image = torch.from_numpy(load_scenes(shape, sets=1)[0].arrays(pose_input=False, preprocess=False)["image"])
    with torch.inference_mode():
        expected = upstream_forward(network, image, OUTPUTS)
        static = build_static(network, shape.batch, shape.views, shape.height, shape.width, OUTPUTS, resolve_policy("fp32"))
        values = dict(zip(static.output_names, static(image), strict=True))
    return {name: relative_l2(values[name].numpy(), expected[name].numpy()) for name in OUTPUTS}


def main() -> None:
    """Print the table for the given models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    shapes = [Shape(1, views, *size) for size in SIZES for views in VIEWS]
    worst = 0.0
    print("| model | size | views | depth | depth_conf | extrinsics | intrinsics | same reference view |")
    print("|---|---|---:|---:|---:|---:|---:|---|", flush=True)
    for model in parser.parse_args().models:
        for shape in shapes:
            figures = distances(model, shape)
            worst = max(worst, *figures.values())
            cells = " | ".join(f"{figures[name]:.1e}" if figures[name] else "0" for name in OUTPUTS[:4])
            same = "yes" if figures["reference_view"] == 0 else "no"
            row = f"| `{model}` | {shape.height}×{shape.width} | {shape.views} | {cells} | {same} |"
            print(row, flush=True)
    print(f"\nWorst: {worst:.1e}; bound: {BOUND:.0e}.")
    sys.exit(worst > BOUND)


if __name__ == "__main__":
    main()
