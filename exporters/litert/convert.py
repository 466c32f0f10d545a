"""Work of the converter's process: conversion, quantization, a run of what was written.

Called through :func:`depthport.exporters.core.isolation.call_isolated`: arguments and results are JSON types, tensors go
through files.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from depthport.exporters.core.files.npz import read_npz, write_npz
from depthport.exporters.litert.recipes import Recipe, group

Progress = Callable[[str], None]

SIGNATURE = "serving_default"


def convert(program: str, model: str, inputs: Sequence[str], outputs: Sequence[str], progress: Progress) -> None:
    """Convert a saved program to a `.tflite` with one signature whose tensors are called `inputs` and `outputs`.

    Left to itself, litert-torch calls them `args_0`, ... and `output_0`, ...; int64 becomes int32 in any case.
    """
    import torch

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    progress("reading the copy")
    exported = torch.export.load(program)
    placeholders = [node for node in exported.graph.nodes if node.name in exported.graph_signature.user_inputs]
    samples = [torch.zeros(node.meta["val"].shape, dtype=node.meta["val"].dtype) for node in placeholders]
    module = _named(exported, inputs, outputs)
    del exported
    import litert_torch

    _tell(progress)
    converted = litert_torch.convert(module, sample_kwargs=dict(zip(inputs, samples, strict=True)))
    progress("writing the model")
    converted.export(model)


def _named(program: Any, inputs: Sequence[str], outputs: Sequence[str]) -> object:
    """The program as a module that takes tensors by keyword and gives them by name.

    A module around it would do that, too, but the operators would no longer say which part of the network they are of,
    and that is how quantization finds them.
    """
    import torch.utils._pytree as pytree

    module = program.module(check_guards=False)
    named = (pytree.tree_structure(((), dict.fromkeys(inputs, 0))), pytree.tree_structure(dict.fromkeys(outputs, 0)))
    code = module.graph._codegen
    code.pytree_info = code.pytree_info._replace(in_spec=named[0], out_spec=named[1])
    # They hold calls to the old signature.
    module._forward_pre_hooks.clear()
    module._forward_pre_hooks_with_kwargs.clear()
    module.recompile()
    return module


def _tell(progress: Progress) -> None:
    """Pass litert-torch's own reports on, in our words."""
    steps = {
        "Torch Export": "tracing for LiteRT",
        "Run FX Passes": "rewriting the graph",
        "Lower to MLIR": "lowering to MLIR",
        "Run LiteRT Converter Passes": "converting to LiteRT",
    }
    from litert_torch import progress as theirs

    original = theirs.task

    def task(name: str, *args: object, **kwargs: object) -> object:
        step = next((ours for start, ours in steps.items() if name.startswith(start)), None)
        if step:
            progress(step)
        return original(name, *args, **kwargs)

    theirs.task = task


def quantize(model: str, quantized: str, recipe: Recipe, progress: Progress) -> None:  # noqa: ARG001 - isolated functions take it
    """Write `model` quantized by ai-edge-quantizer's `recipe` (its JSON form)."""
    from ai_edge_quantizer import quantizer

    result = quantizer.Quantizer(model, list(recipe)).quantize()
    Path(quantized).write_bytes(bytes(result.quantized_model))


def try_recipes(
    model: str, recipes: Sequence[Recipe], scenes: str, outputs: Sequence[str], progress: Progress
) -> list[dict[str, object]]:
    """Quantize by each recipe in turn, run the scenes, and keep the outputs in `trial-INDEX.npz` beside the model.

    Args:
        model: the fp32 file.
        recipes: in ai-edge-quantizer's JSON form; an empty one is the model as it is.
        scenes: an `.npz`, one entry a scene: `image` (B, N, 3, H, W).
        outputs: names to keep.

    Returns:
        For each: `size_bytes`, and the file's name.
    """
    done: list[dict[str, object]] = []
    images = dict(np.load(scenes))
    for index, recipe in enumerate(recipes):
        path = Path(model)
        if recipe:
            progress(f"trying quantization {index + 1} of {len(recipes)}")
            path = Path(model).with_name("trial.tflite")
            quantize(model, str(path), recipe, progress)
        kept: dict[str, np.ndarray] = {}
        for name, found in zip(images, infer(str(path), [{"image": image} for image in images.values()]), strict=True):
            kept |= {f"{name}/{output}": found[output] for output in outputs}
        file = Path(model).with_name(f"trial-{index}.npz")
        write_npz(file, kept)
        done.append({"file": file.name, "size_bytes": path.stat().st_size})
    return done


def run(model: str, inputs: str, outputs: str, progress: Progress) -> dict[str, object]:  # noqa: ARG001 - isolated functions take it
    """Run a written file in LiteRT on the arrays of an `.npz`; the outputs go to another. Returns its signature."""
    (found,) = infer(model, [read_npz(inputs)])
    write_npz(Path(outputs), found)
    return {"outputs": {name: [list(value.shape), str(value.dtype)] for name, value in found.items()}}


def infer(model: str, feeds: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """Outputs of a `.tflite` by name, for each of `feeds`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=2)
    runner = interpreter.get_signature_runner(SIGNATURE)
    return [{name: value.copy() for name, value in runner(**feed).items()} for feed in feeds]


def arithmetic(model: str, progress: Progress) -> dict[str, float]:  # noqa: ARG001 - isolated functions take it
    """GFLOP of the products and convolutions with weights, by group (:mod:`depthport.exporters.litert.recipes`)."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without its delegate: with it the list would hold what the delegate took over, too.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=model, experimental_op_resolver_type=plain)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    found: dict[str, float] = {}
    for operation in interpreter._get_ops_details():
        if operation["op_name"] not in ("FULLY_CONNECTED", "CONV_2D", "TRANSPOSE_CONV"):
            continue
        output, weight = tensors[operation["outputs"][0]], tensors[operation["inputs"][1]]
        name = group(output["name"])
        if name is not None:
            # Every output value sums over all of its channel's weights.
            terms = prod(weight["shape"].tolist()) / weight["shape"].tolist()[0]
            found[name] = found.get(name, 0.0) + 2e-9 * prod(output["shape"].tolist()) * terms
    return found
